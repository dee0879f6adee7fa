"""What leaves a table for a spreadsheet is text and numbers, never a formula."""

import csv
import io
import re
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import streamlit as st

from dashboard import formatting, tables
from tests.conftest import ROOT

FORMULAS = ['=HYPERLINK("http://x")', "+1+cmd|' /C calc'!A0", "-2+3+cmd|x!A0", "@SUM(1,2)", "\t=1+1", "\n=1", "＝1", "=", "-", "+49 170 1234", "- a list", "@anna", "-1-2", "+A1", " =1+1", "\u00a0@SUM(1)"]  # fmt: skip
PLAIN = ["", "ok", "a=b", "'quoted", "-5", "+3", "-1,234.50", "-$0.44", "+$1.20", "+12 %", "-3.2 points", "-1.5e-05", "−5 %", "u-1", " -5 ", " plain", "a; b", "'a; b", "x;1"]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text: str):
    assert formatting.cell(text) == f"'{text}"
    assert formatting.uncell(f"'{text}") == text


@pytest.mark.parametrize("text", ["x;=HYPERLINK(1)", "x; @SUM(1)", "a;b;-2+3", "=1;=2"])
def test_a_semicolon_begins_no_formula(text: str):
    safe = str(formatting.cell(text))

    assert not re.search(r"(^|;)\s*[=+@-]", safe)
    assert formatting.uncell(safe) == text


def test_a_carriage_return_begins_no_row():
    assert (formatting.cell("a\r=1"), formatting.cell("\r\n=1"), formatting.cell("a\r\nb")) == (
        "a\n=1",
        "'\n=1",
        "a\nb",
    )


@pytest.mark.parametrize("value", [*PLAIN, -5, 0.25, None])
def test_numbers_and_words_stay_as_they_are(value: object):
    assert formatting.cell(value) == value
    assert formatting.uncell(value) == str(value)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What Streamlit is given."""
    found: list[object] = []
    monkeypatch.setattr(st, "dataframe", lambda data, **_: found.append(data))
    monkeypatch.setattr(st, "download_button", lambda _label, data, *_, **__: found.append(data))
    return found


def test_a_table_shows_the_cells_and_hands_out_none_as_a_formula(drawn: list[object]):
    frame = pd.DataFrame({"user": FORMULAS, "cost $": [-1.5] * len(FORMULAS)})
    tables.show(frame, hide_index=True)
    tables.csv(frame, "spend")

    styler, data = drawn
    assert list(styler.data["user"]) == [f"'{text}" for text in FORMULAS]  # what is downloaded and copied
    shown = styler._translate(False, False)["body"]
    assert [row[1]["display_value"] for row in shown] == FORMULAS
    data = data()  # when the button is clicked
    assert isinstance(data, bytes) and data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [row[0] for row in rows[1:]] == [f"'{text}" for text in FORMULAS]
    assert {row[1] for row in rows[1:]} == {"-1.5"}


def test_a_table_without_formulas_is_drawn_as_it_is(drawn: list[object]):
    frame = pd.DataFrame({"user": PLAIN, "n": range(len(PLAIN))})
    tables.show(frame)

    assert drawn[0] is frame


@pytest.mark.parametrize(
    ("name", "text"),
    [("latency s", "Latency (s)"), ("cost $", "Cost ($)"), ("p95 s", "p95 (s)"), ("unpriced calls", "Unpriced calls"), ("x", "X")],
)  # fmt: skip
def test_a_column_is_headed_by_its_name_and_unit(name: str, text: str):
    assert tables.heading(name) == text


def test_every_table_and_file_goes_the_same_way():
    wrong = [
        path.name
        for path in (ROOT / "dashboard").rglob("*.py")
        if path.name != "tables.py"
        and re.search(r"\.dataframe\(|\.data_editor\(|\.to_csv\(|csv\.writer", path.read_text("utf-8"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([1234.5, 3.0, None], "dollar"), ([], "dollar"), ([0.0, float("nan")], "dollar"), ([5.0, 0.0518], "$%.4f"),
        ([5.0, 0.000412], "$%.6f"), ([5.0, -0.0000004], "$%.8f"),
    ],
)  # fmt: skip
def test_no_cost_is_rounded_to_nothing(values: list[float | None], form: str):
    assert tables.money_column("Cost", values)["type_config"]["format"] == form


def test_long_names_keep_their_ends_and_stand_for_one_option_each():
    column = tables.model_column(["gpt-5", "gemini-2.5-flash-preview-09-2025", "gpt-5"], {}, letters=18)

    assert [option["value"] for option in column["type_config"]["options"]] == ["gpt-5", "gemini-2.…-09-2025"]
    assert tables.chips(["gemini-2.5-flash-preview-09-2025"], 18) == [["gemini-2.…-09-2025"]]


def test_a_click_opens_the_row_that_stood_there_and_once(monkeypatch: pytest.MonkeyPatch):
    given: dict[str, Any] = {}
    state = {"calls": SimpleNamespace(selection=SimpleNamespace(cells=[(0, "id")]))}
    monkeypatch.setattr(st, "dataframe", lambda _data, **options: given.update(options))
    monkeypatch.setattr(st, "session_state", state)

    def drawn(*ids: str) -> str | None:
        return tables.opened(pd.DataFrame({"id": ids}), "calls", ids)

    assert drawn("old", "older") is None
    given["on_select"]()
    assert [drawn("new", "old", "older"), drawn("new", "old", "older")] == ["old", None]
