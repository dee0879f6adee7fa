"""Pages with AppTest: each renders on an empty database, with data, with a failing vendor; and does what it offers."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.demo.history import DemoSize
from dashboard import process
from dashboard.components import clicks
from tests.fakes import gemini as wire
from tests.fakes.gemini import KEY, FakeGemini
from tests.pages import PAGES, button, each_page, is_broken, show, texts

pytestmark = pytest.mark.usefixtures("pages_as_served")


def test_every_page_renders_on_an_empty_database(app: AppTest):
    for page in each_page(app):
        assert app.title[0].value, page


def test_every_page_renders_with_data(app_with_demo: AppTest):
    for page in each_page(app_with_demo):
        assert "Demo data on" in texts(app_with_demo), page


def test_every_page_renders_while_the_vendor_cannot_be_reached(app_with_gemini: AppTest, gemini: FakeGemini):
    gemini.close()

    assert tuple(each_page(app_with_gemini)) == PAGES


def test_a_double_click_asks_once(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clicks, "DOUBLE_S", 600.0)  # here each run of the page ends before the next click
    comparisons = process.manager().comparisons
    show(app, "compare")
    run = button(app, "Compare")
    for _ in range(2):
        run.click().run()
    assert len(comparisons.latest()) == 1

    show(app, "workflows")
    service = process.manager().workflows
    for _ in range(2):
        button(app, "Run").click().run()
        service.wait(service.runs()[0].id)
        app.run()
    assert len(service.runs()) == 1


def test_the_budget_banner_is_on_every_page(app_with_gemini: AppTest, gemini: FakeGemini):
    manager = process.manager()
    manager.budgets.create("Team", "0.001")
    gemini.next(wire.answer(prompt=1000, candidates=200))
    manager.generate("Hi", model="gemini-2.5-flash")

    for page in PAGES:
        st.cache_data.clear()
        show(app_with_gemini, page)
        said = "80%</span>" if page == "budgets" else "Budget Team: 80% spent"  # whose rows say it
        assert said in texts(app_with_gemini), page


def test_demo_data_come_with_one_click_and_go_with_one(app: AppTest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process.manager().demo, "fill", partial(process.manager().demo.fill, DemoSize(500, 62)))
    show(app, "monitoring")
    app.button(key="monitor_demo").click().run()
    assert process.manager().demo.is_present()

    app.button(key="demo_remove").click().run()
    assert not process.manager().demo.is_present()
    assert not app.exception


@pytest.mark.parametrize(
    ("page", "place"),
    [
        ("log", "dashboard.components.frame.header._money"),  # the strip on top of every page
        ("log", "dashboard.components.log.history.read"),
        ("monitoring", "core.monitoring.spend.SpendService.month"),  # inside a cached function
        ("gateway", "dashboard.frames.gateway.tail"),  # inside a fragment
        ("playground", "dashboard.components.playground.conversation.start"),  # after a prompt
        ("playground", "dashboard.address.put"),  # in a callback
    ],
)
def test_an_error_that_nobody_expected_is_said_with_a_reference_to_the_log(
    app_with_demo: AppTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, page: str, place: str
):
    def breaks(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError(f"the key was {KEY}")

    process.manager().generate("Hi", model="sim-fast")
    app = show(app_with_demo, page)
    st.cache_data.clear()
    monkeypatch.setattr(place, breaks)
    app.run()
    if page == "playground":
        app.chat_input(key="play_prompt").set_value("Why?")
        app.button(key="play_new").click().run()

    assert not app.exception
    reference = re.search(r"e_[0-9a-f]{8}", texts(app).replace("\\", ""))
    assert reference and reference[0] in caplog.text
    assert "ZeroDivisionError" in caplog.text and "in breaks" in caplog.text
    assert KEY not in caplog.text + texts(app)
    monkeypatch.undo()


def test_a_database_that_is_gone_is_told_and_pages_go_on_when_it_is_back(app: AppTest, tmp_path: Path):
    show(app, "log")
    for path in tmp_path.glob("aimm.db*"):
        path.rename(tmp_path / f"kept-{path.name}")

    for page in ("log", "settings"):
        st.cache_data.clear()
        app.switch_page(f"pages/{page}.py").run()
        assert "its file was deleted or moved away" in texts(app) and not is_broken(app)

    for path in tmp_path.glob("kept-*"):
        path.rename(tmp_path / path.name.removeprefix("kept-"))
    st.cache_data.clear()
    assert "cannot be used" not in texts(show(app, "log"))


BAD_ADDRESSES = {
    "playground": {"conversation": "g_nothing"},
    "workflows": {"run": "r_nothing", "flow_name": "nothing"},
    "compare": {"comparison": "c_nothing"},
    "experiments": {"experiment": "e_nothing"},
    "monitoring": {"range": "1 year", "monitor_model": "nothing", "monitor_view": "nothing"},
    "log": {"call": "'; --", "log_status": "nothing", "log_source": "nothing", "log_model": "<b>", "log_page": "-1"},
    "gateway": {"call": "g_nothing", "gateway_client": "nothing"},
    "models": {"prices_view": "nothing"},
    "budgets": {"budget": "change:nothing"},
}


def test_what_an_address_asks_for_and_is_not_there_is_said_in_words(app_with_demo: AppTest):
    app = app_with_demo
    process.manager().keys.create("ci")
    for page, asked in BAD_ADDRESSES.items():
        show(app, page)
        for name, value in asked.items():
            app.query_params[name] = value
        app.run()

        assert not is_broken(app), page
        said = "\n".join(warning.value for warning in app.warning)
        assert said.count("which does not exist") + said.count("on record") >= len(asked), (page, said)
        assert not any(app.query_params.get(name) == [value] for name, value in asked.items()), page


def _inputs(app: AppTest) -> dict[str, Any]:
    """What can be typed or chosen on a page, buttons aside, by key."""
    kinds = (app.text_input, app.text_area, app.number_input, app.selectbox, app.toggle, app.multiselect)
    return {each.key: each for kind in kinds for each in kind if each.key and not each.disabled}


def _another(widget: Any) -> Any:
    """A value other than the one it has; None = there is no other."""
    if widget.type in ("text_input", "text_area"):
        return None if getattr(widget.proto, "type", 0) == 1 else "typed text"  # a password is not kept
    if widget.type == "toggle":
        return not widget.value
    if widget.type == "number_input":
        least = widget.min or 0
        return least + widget.step if widget.value != least + widget.step else least
    return (
        next((option for option in widget.options if option != widget.value), None)
        if widget.type == "selectbox"
        else None
    )


@pytest.mark.parametrize("page", ["playground", "workflows", "experiments", "monitoring", "log", "gateway", "models"])
def test_what_was_typed_survives_a_change_of_page(app_with_demo: AppTest, page: str):
    app = show(app_with_demo, page)
    typed = {key: value for key, widget in _inputs(app).items() if (value := _another(widget)) is not None}
    typed = {key: value for key, value in typed.items() if key not in ("exp_n", "gateway_pause", "exp_id", "log_page")}
    for key, value in typed.items():
        _inputs(app)[key].set_value(value)
    app.run()
    assert not is_broken(app)
    typed = {key: widget.value for key, widget in _inputs(app).items() if key in typed}

    app.switch_page("pages/settings.py").run()
    app.switch_page(f"pages/{page}.py").run()

    assert not is_broken(app)
    assert {key: widget.value for key, widget in _inputs(app).items() if key in typed} == typed
