"""Files of cases: read as their author meant them, or refused with the line; and given back as they came."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import InvalidRequest, ModelManager
from core.datasets.exporting import written
from core.datasets.layouts import Layout, gives_back
from core.datasets.reading import Preview, read
from core.domain.evaluation.dataset import DatasetRow, DatasetVersion
from core.domain.generation import Message
from core.domain.message import Media
from tests.builders import NOON, a_generation


def variables(preview: Preview) -> list[dict[str, Any]]:
    assert preview.problems == ()
    return [dict(row.variables) for row in preview.iterate()]


def export(preview: Preview, format_: str | None = None, *, is_safe: bool = False) -> bytes:
    rows = list(preview.iterate())
    version = DatasetVersion(
        dataset="d", number=1, digest="", n_rows=len(rows), created_at=NOON, layout=preview.layout.as_dict()
    )
    return b"".join(written(version, lambda: rows, format_, is_safe=is_safe))


# Tables: each an ugly file, with what it says


TWO = [{"q": "a", "b": "1"}, {"q": "c", "b": "2"}]


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        pytest.param(b"q,b\na,1\nc,2\n", TWO, id="commas"),
        pytest.param(b"q;b\na;1\nc;2\n", TWO, id="semicolons"),
        pytest.param(b"q\tb\na\t1\nc\t2\n", TWO, id="tabs"),
        pytest.param(b"sep=;\r\nq;b\r\na;1\r\nc;2\r\n", TWO, id="the line that Excel writes"),
        pytest.param(b"\xef\xbb\xbfq,b\r\na,1\r\nc,2\r\n", TWO, id="BOM and CRLF"),
        pytest.param("q;b\na;1\nc;2\n".encode("utf-16"), TWO, id="UTF-16"),
        pytest.param("q;b\na;1\nc;2\n".encode("utf-16-be"), TWO, id="UTF-16 without a mark"),
        pytest.param(b"q,b\ra,1\rc,2", TWO, id="old line ends"),
        pytest.param(b"q,b,,\na,1,,\nc,2\n", TWO, id="separators at the end"),
        pytest.param(b" ,\n\nq,b\na,1\n,\n\n , \t\nc,2\n", TWO, id="blank rows"),
        pytest.param(b'q,b\n"a\n""x"", y",1\n', [{"q": 'a\n"x", y', "b": "1"}], id="quoted newlines"),
        pytest.param(
            b"q;b\nlong, with, commas;1\n", [{"q": "long, with, commas", "b": "1"}], id="other signs in cells"
        ),
        pytest.param(b"q\nHow, when?\n", [{"q": "How, when?"}], id="one column"),
        pytest.param(b"q,b\n=1+1,@x\n", [{"q": "=1+1", "b": "@x"}], id="formulas"),
        pytest.param(b"q,,b\na,x,1\n", [{"q": "a", "column_2": "x", "b": "1"}], id="a column without a name"),
        pytest.param(b"q,b\na,\n", [{"q": "a", "b": ""}], id="an empty cell"),
        pytest.param(b"q,b\n{{env.KEY}},{{b}}\n", [{"q": "{{env.KEY}}", "b": "{{b}}"}], id="braces"),
        pytest.param(
            (",".join(f"c{n}" for n in range(100)) + "\n" + ",".join(map(str, range(100)))).encode(),
            [{f"c{n}": str(n) for n in range(100)}],
            id="100 columns",
        ),
        pytest.param(b'q,b\n"' + b"x" * 1_000_000 + b'",1\n', [{"q": "x" * 1_000_000, "b": "1"}], id="a cell of 1 MB"),
    ],
)
def test_a_table_is_read_as_it_was_meant(data: bytes, rows: list[dict[str, str]]):
    assert variables(read(data, "csv")) == rows


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"q,b\na,1\nx,1,2\nb,2\n", [(3, "3 cells, and the header names 2")]),
        (b'q,b\na,1\n"open,1\nb,2\n', [(3, "a quote opens here and never closes")]),
        (b'q,b\n"a" b,1\nc,2\n', [(2, "between a closing quote and the next cell")]),
        (b"q,b\n\x00,1\nc,2\n", [(2, "NUL")]),
        (b"q,__expected\na,contians: x\nb,contains: y\n", [(2, "'contians:' is no check; did you mean contains")]),
        (b"q,__expected2\na,not-icontain: x\n", [(2, "did you mean icontains")]),
        (
            b"q,__expected\na,regex: (\nb,word-count: x\nc,contains:\nd,regex: a+\ne,regex: {{q}}\n",
            [(2, "unterminated group"), (3, "word-count needs a number"), (4, "contains needs a text")],
        ),
        (b"q,__expected\na,Contains: x\nb,Cost\nc,Answer: 5\n", [(2, "did you mean contains?")]),
        (b"q,__expected\na,NOT_contains: x\nb,is_json\nc,not json\n", [(2, "not-contains?"), (3, "is-json?")]),
        (b"q,expected,ideal\na,x,y\nb,x,\n", [(2, "'ideal' and another column both say what is expected")]),
        (b"q,__threshold\na,high\nb,0.5\n", [(2, "__threshold == 'high', must be a number")]),
        (b"q,__threshold\na,5\nb,-0.1\n", [(2, "__threshold == 5, must be 0 to 1"), (3, "== -0.1, must be")]),
        (b"q,__expected\na,rouge-n(1.2): x\nb,levenshtein(2): x\n", [(2, "threshold: at most 1, not 1.2")]),
        (b"q,__expected,__config:__expected2:threshold\na,contains: x,0.5\n", [(2, "__expected2 has none")]),
    ],
)
def test_a_bad_row_is_named_by_its_line(data: bytes, problems: list[tuple[int, str]]):
    preview = read(data, "csv")

    assert [problem.line for problem in preview.problems] == [line for line, _ in problems]
    for problem, (_, says) in zip(preview.problems, problems, strict=True):
        assert says in problem.text
    with pytest.raises(InvalidRequest, match=f"line {problems[0][0]}"):
        list(preview.iterate())
    assert len(list(preview.iterate(skip_bad=True))) == preview.n_rows


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"q,b,q\n1,2,3\n", "line 1: the column 'q' is there twice"),
        (b"q,b\na,1\nM\xfcller,2\n", r"line 3: the byte 0xFC is not UTF-8"),
        ("q,b\na,1\n".encode("utf-16")[:-1], "is not UTF-16"),
        (b'"q,b\na,1\n', "line 1: a quote opens"),
        (b"PK\x03\x04\x14\x00", "a workbook, an archive"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(data: bytes, says: str):
    with pytest.raises(InvalidRequest, match=says):
        read(data, "csv")


def test_another_encoding_is_read_by_its_name():
    assert variables(read("q;b\nMüller;1\n".encode("cp1252"), encoding="windows-1252")) == [{"q": "Müller", "b": "1"}]
    with pytest.raises(InvalidRequest, match="'klingon' is no encoding"):
        read(b"q,b\na,1\n", encoding="klingon")


def test_what_is_odd_and_no_fault_is_told():
    preview = read(b"q,b,\na,1\n\n,,\nc\nd,2,x\n", "csv")

    assert [dict(row.variables) for row in preview.rows] == [{"q": "a", "b": "1"}, {"q": "c", "b": ""}]
    assert [str(problem) for problem in preview.problems] == [
        "line 6: 3 cells, and the header names 2 columns; a cell with a separator in it needs quotes"
    ]
    assert preview.warnings == (
        "No row states a check or an expected answer: nothing of them can fail.",
        "1 row (line 5) has fewer cells than the header; what is missing is empty.",
        "2 blank rows are left out (lines 3, 4).",
    )
    told = read(
        b"q,__expected,__expected2\na,fn: output.length,javascript: true\nb,select-best: x,equals: y\n"
    ).warnings
    assert told == ("Checks of these kinds are kept and cannot be made here: javascript (2), select-best (1).",)
    assert "one column, 'q'" in read(b"q\nx\n").warnings[1]
    assert read(b"q,expected\na,b\nc,\n").warnings == (
        "1 of 2 rows state neither a check nor an expected answer: nothing of them can fail.",
    )


def test_a_key_that_is_there_twice_and_an_empty_object_are_named_by_line():
    twice = b'{"q": 1}\n{"messages": [{"role": "user", "content": "a", "content": "b"}]}\n\n{}\n'
    assert [str(each) for each in read(twice, "jsonl").problems] == [
        "line 2: the key 'content' is there twice", "line 4: the object is empty",
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="the key 'q' is there twice"):
        read(b'[{"q": 1, "q": 2}]', "json")


def test_the_columns_of_promptfoo_say_how_to_grade():
    data = (
        "q,__expected,__expected2,__metric,__threshold,__description,__prefix,__metadata:topic,__metadata:langs[],"
        "__config:__expected2:threshold\n"
        'a,contains: x,"similar(0.8): y",m,0.5,d,Please:,math,"en, de",0.9\n'
        "b,plain text: as it is,,,,,,,,\n"
        "c,,,,,,,,,\n"
    )

    preview = read(data.encode())
    first, second, third = preview.rows
    assert preview.warnings[-1] == "__prefix: kept, and not applied."

    assert first.checks == (
        {"type": "contains", "value": "x", "metric": "m"},
        {"type": "similar", "value": "y", "threshold": 0.9, "metric": "m"},
    )
    assert (first.threshold, first.description, first.variables) == (0.5, "d", {"q": "a"})
    assert first.metadata == {"topic": "math", "langs": ["en", "de"], "__prefix": "Please:"}
    assert second.checks == ({"type": "equals", "value": "plain text: as it is"},)
    assert third.as_dict() == {"variables": {"q": "c"}} and not third.has_check


def test_a_column_is_what_its_mapping_says():
    data = b'question,answer,topic,id,Expected,TAGS\nWhy?,Because,math,7,no,"a; b,a"\n'

    assert read(data).rows[0] == DatasetRow(
        variables={"question": "Why?", "answer": "Because", "topic": "math", "id": "7"}, expected="no", tags=("a", "b")
    )
    mapping = {"answer": "expected", "topic": "tags", "id": "metadata", "Expected": "variable", "TAGS": "variable"}
    assert read(data, mapping=mapping).rows[0] == DatasetRow(
        variables={"question": "Why?", "Expected": "no", "TAGS": "a; b,a"}, expected="Because", tags=("math",),
        metadata={"id": "7"},
    )  # fmt: skip
    for wrong, says in ({"anser": "expected"}, "there is answer"), ({"id": "key"}, "must be one of variable"):
        with pytest.raises(InvalidRequest, match=says):
            read(data, mapping=wrong)


# Objects


CHAT = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]
ANSWER = {"role": "assistant", "content": "Hello"}


@pytest.mark.parametrize(
    ("record", "row"),
    [
        ({"q": "a", "n": 1.5, "o": {"x": None}}, DatasetRow(variables={"q": "a", "n": 1.5, "o": {"x": None}})),
        ({"q": "a", "expected": {"x": 1}, "tags": ["t"]}, DatasetRow(variables={"q": "a"}, expected={"x": 1}, tags=("t",))),
        ({"messages": CHAT, "ideal": "Hello"}, DatasetRow(messages=tuple(CHAT), expected="Hello")),
        ({"messages": [*CHAT, ANSWER]}, DatasetRow(messages=tuple(CHAT), expected="Hello")),
        ({"input": CHAT, "ideal": ["a", "b"]}, DatasetRow(messages=tuple(CHAT), expected=["a", "b"])),
        ({"messages": CHAT, "topic": "x"}, DatasetRow(messages=tuple(CHAT), variables={"topic": "x"})),
        (
            {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": CHAT}},
            DatasetRow(messages=tuple(CHAT), metadata={"custom_id": "r1"}),
        ),
        (
            {"custom_id": "r1", "body": {"model": "m", "input": "Hi", "instructions": "S"}, "expected": "x"},
            DatasetRow(messages=tuple(CHAT), metadata={"custom_id": "r1"}, expected="x"),
        ),
        (
            {
                "key": "k1",
                "request": {"systemInstruction": {"parts": [{"text": "S"}]}, "contents": [{"parts": [{"text": "H"}, {"text": "i"}]}]},
            },
            DatasetRow(messages=tuple(CHAT), metadata={"key": "k1"}),
        ),
        (
            {"vars": {"q": "a"}, "assert": [{"type": "equals", "value": "b", "weight": 2}], "threshold": 1, "description": "d"},
            DatasetRow(variables={"q": "a"}, checks=({"type": "equals", "value": "b", "weight": 2},), threshold=1, description="d"),
        ),
        (
            {"variables": {"q": "a"}, "messages": CHAT, "checks": [{"type": "is-json"}], "expected": 1, "metadata": {"k": 1}},
            DatasetRow(variables={"q": "a"}, messages=tuple(CHAT), checks=({"type": "is-json"},), expected=1, metadata={"k": 1}),
        ),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            DatasetRow(messages=({"role": "user", "content": "a"},), expected="b"),
        ),
        (
            {"custom_id": "1", "params": {"system": "s", "messages": [{"role": "user", "content": "a"}]}},
            DatasetRow(
                messages=({"role": "system", "content": "s"}, {"role": "user", "content": "a"}), metadata={"custom_id": "1"}
            ),
        ),
        ({"contents": [{"parts": [{"text": "a"}]}]}, DatasetRow(messages=({"role": "user", "content": "a"},))),
    ],
    ids=[
        "object", "expected", "chat", "answered chat", "sample of evals", "chat and more", "openai", "responses", "gemini",
        "promptfoo", "own", "sharegpt", "anthropic", "contents alone",
    ],
)  # fmt: skip
def test_an_object_of_each_kind_is_a_row_and_comes_back(record: dict[str, Any], row: DatasetRow):
    for data in (json.dumps(record), json.dumps(record, indent=1), json.dumps([record]), f"- {json.dumps(record)}"):
        preview = read(data.encode())
        assert (preview.problems, preview.rows) == ((), (row,))
        assert [json.loads(line) for line in export(preview, "jsonl").splitlines()] == [record]


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        (['{"q": 1}', "{q: 2}"], 2, "this is not JSON"),
        (['{"q": 1}', "", "[1]"], 3, "an object is expected"),
        (['{"q": 1}', '{"q": "\\u0000"}'], 2, "NUL"),
        (['{"q": 1}', '{"messages": [{"role": "user", "content": "x"}]}'], 2, "another kind (chat)"),
        (['{"messages": []}'], 1, "must be a list of turns"),
        (['{"messages": [{"role": "tool", "content": "x"}]}'], 1, "role == 'tool'"),
        (['{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}'], 1, "no text"),
        (['{"custom_id": "a", "body": {"model": "m"}}'], 1, "no `messages`"),
        (['{"key": "a", "request": {"contents": [{"parts": [{"inlineData": {}}]}]}}'], 1, "only texts are read"),
        (['{"vars": {"q": "a", "assert": []}}'], 1, "`assert` stands under `vars`"),
        (['{"vars": {"q": "file://a.txt"}}'], 1, "is a file"),
        (['{"vars": {"q": ["a", "b"]}}'], 1, "stands for several tests"),
        (['{"vars": {"q": "a"}, "options": {}}'], 1, "'options' of a test is not supported"),
        (['{"vars": {"q": "a"}, "assert": ["x"]}'], 1, "objects with a `type`"),
        (['{"vars": {"q": "a"}, "assert": [{"type": "not-contians"}]}'], 1, "did you mean contains"),
        (['{"vars": {"q": "a"}, "assert": [{"type": "contains", "weight": "high"}]}'], 1, "weight of contains == 'high'"),
        (['{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": []}]}'], 1, "no text"),
        (['{"variables": {}, "checks": [], "colour": 1}'], 1, "another"),
        (['{"q": 1, "tags": 3}'], 1, "tags == '3'"),
        (['{"variables": {"q": 1}, "tags": "a"}'], 1, "`tags` must be a list"),
    ],
)  # fmt: skip
def test_a_bad_object_is_named_by_its_line(lines: list[str], line: int, says: str):
    preview = read("\n".join(lines).encode(), "jsonl")

    if says == "another":  # a key that no row has makes it a plain object
        assert preview.layout.kind == "objects"
        return
    [problem] = preview.problems
    assert problem.line == line and says in problem.text


def test_the_last_line_needs_no_end_and_a_bare_return_ends_none():
    assert variables(read(b'{"q": 1}\r\n\r\n{"q":\r2}', "jsonl")) == [{"q": 1}, {"q": 2}]


@pytest.mark.parametrize(
    ("data", "questions"),
    [
        ('{"data": [{"q": "a"}, {"q": "b"}]}', ["a", "b"]),
        ('{"version": "1.1", "rows": [{"q": "a"}]}', ["a"]),
        ('{\n "examples": [\n  {"q": "a"}\n ]\n}', ["a"]),
        ('{"q": "a", "data": [{"n": 1}]}', ["a"]),  # a case of its own
    ],
)
def test_an_object_that_wraps_cases_is_opened(data: str, questions: list[str]):
    assert [row.variables["q"] for row in read(data.encode()).rows] == questions


def test_yaml_names_the_line_and_reads_its_types():
    data = b"# cases\n- vars: {q: a, n: 1}\n  assert:\n    - type: equals\n      value: '1'\n- vars:\n    assert: []\n"

    preview = read(data)

    assert preview.rows == (DatasetRow(variables={"q": "a", "n": 1}, checks=({"type": "equals", "value": "1"},)),)
    assert [problem.line for problem in preview.problems] == [6]
    assert read(b"tests:\n- vars: {q: a}\n").n_rows == 1
    for wrong, says in (
        (b"- a: [", "not YAML: line 1"),
        (b"tests: 3", "list of cases"),
        (b'[{"a": 1},]', "line 1: this is"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            read(wrong, name="x.json" if wrong.startswith(b"[") else "x.yaml")


def test_a_format_is_known_by_its_name_or_said(tmp_path: Path):
    (tmp_path / "cases.tsv").write_bytes(b"q\tb\na\t1\nc\t2\n")
    preview = read(tmp_path / "cases.tsv")

    assert variables(preview) == TWO and preview.name == "cases.tsv"
    assert read(b'{"q": 1}\n{"q": 2}\n', name="x.json").n_rows == 2
    for wrong, says in ("xlsx", "format == 'xlsx'"), (None, "cannot be read"):
        with pytest.raises(InvalidRequest, match=says):
            read(b"x" if wrong else tmp_path / "none.csv", wrong)


# Round trips


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
names = st.text(st.sampled_from("abc _-:;,|\t\"'äß\n"), min_size=1, max_size=8).filter(
    lambda name: name.strip() == name
)


@settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.lists(names, min_size=1, max_size=4, unique=True), st.sampled_from([",", ";", "\t"]))
def test_a_table_comes_back_cell_by_cell(data: st.DataObject, columns: list[str], separator: str):
    header = [*columns, *data.draw(st.lists(st.sampled_from(["expected", "tags", "__expected", "__metadata:k[]", "__description"]), unique=True))]  # fmt: skip
    rows = data.draw(
        st.lists(st.lists(cells, min_size=len(header), max_size=len(header)).filter(any), min_size=1, max_size=4)
    )
    file = io.StringIO()
    csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([header, *rows])

    preview = read(file.getvalue().encode(), "csv")

    if preview.problems:  # a text that looks like a misspelt check
        assert all("is no check" in problem.text for problem in preview.problems)
        return
    again = export(preview)
    assert [*csv.reader(io.StringIO(again.decode(), newline=""), delimiter=preview.layout.separator if len(header) > 1 else ",")] == [header, *rows]  # fmt: skip
    assert [row.as_dict() for row in read(again, "csv").iterate()] == [row.as_dict() for row in preview.iterate()]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | cells, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(cells, inner, max_size=3)
)  # fmt: skip


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(cells.filter(lambda name: name not in ("messages", "vars", "request", "body", "assert", "variables")), values, min_size=1, max_size=4))  # fmt: skip
def test_an_object_comes_back_whole(record: dict[str, Any]):
    preview = read(json.dumps(record).encode(), "jsonl")
    if preview.problems:
        said = preview.problems[0].text
        assert any(words in said for words in ("tags ==", "is no check", "holds no JSON"))
        return

    assert json.loads(export(preview)) == record


FULL = DatasetRow(
    variables={"q": "=1", "o": {"a": [1]}}, messages=tuple(CHAT), expected="x", threshold=0.5, description="d",
    checks=({"type": "contains", "value": "x"},), tags=("a", "b"), metadata={"k": "v"},
)  # fmt: skip


@pytest.mark.parametrize("format_", ["csv", "jsonl", "yaml"])
def test_rows_of_no_file_are_written_and_read_again(mm: ModelManager, format_: str):
    rows = [FULL, DatasetRow(variables={"q": "2"}), DatasetRow(messages=tuple(CHAT))]
    mm.datasets.save("d", rows)

    again = list(mm.datasets.read(b"".join(mm.datasets.export("d", format_)), format_).iterate())

    if format_ != "csv":
        assert again == rows
    else:  # a cell is a text, and one that is not there is empty
        assert again[0].as_dict() == {**FULL.as_dict(), "variables": {"q": "=1", "o": '{"a":[1]}'}}
        assert [row.messages for row in again] == [row.messages for row in rows]


def test_a_safe_export_disarms_formulas(mm: ModelManager):
    mm.datasets.load(mm.datasets.read(b"q,n\n=1+1,-2\n@x,a=b\n"), "d")

    assert b"".join(mm.datasets.export("d")) == b"q,n\r\n=1+1,-2\r\n@x,a=b\r\n"
    assert b"".join(mm.datasets.export("d", is_safe=True)) == b"q,n\r\n'=1+1,'-2\r\n'@x,a=b\r\n"
    with pytest.raises(InvalidRequest, match="format == 'xlsx'"):
        mm.datasets.export("d", "xlsx")


# Imports


def test_an_import_refuses_bad_rows_or_counts_them(mm: ModelManager):
    preview = mm.datasets.read(b"q,b\na,1\nx,1,2\nc,2\ny,1,2\n", name="cases.csv")
    with pytest.raises(InvalidRequest, match=r"line 3: 3 cells.*2 rows are bad"):
        mm.datasets.load(preview, "d")
    assert mm.datasets.all() == []

    version = mm.datasets.load(preview, "d", skip_bad=True, note="First.", author="Ann")

    assert (version.n_rows, version.origin, version.author) == (2, "cases.csv", "Ann")
    assert version.note == "First. 2 bad rows were left out: line 3, 5."


def test_rows_that_do_not_fit_the_file_they_join_are_not_lost(mm: ModelManager):
    mm.datasets.load(mm.datasets.read(b"q;__expected\na;contains: x\n"), "d")
    assert mm.datasets.add("d", [DatasetRow(variables={"q": "b"})]).layout["separator"] == ";"
    assert b"".join(mm.datasets.export("d")) == b"q;__expected\r\na;contains: x\r\nb;\r\n"

    more = mm.datasets.load(mm.datasets.read(b"q;n\nc;3\n"), "d", adds=True)

    assert (more.number, more.n_rows, more.columns) == (3, 3, ("q", "n"))
    assert mm.datasets.rows("d")[0].checks == ({"type": "contains", "value": "x"},)
    table = b"".join(mm.datasets.export("d", "csv"))
    assert read(table).rows[0].as_dict()["checks"] == [{"type": "contains", "value": "x"}]


def test_a_layout_knows_what_it_has_no_place_for():
    table = Layout(kind="table", columns=("q",))

    assert gives_back(table, DatasetRow(variables={"q": "x"}))
    assert not gives_back(table, DatasetRow(variables={"q": "x", "n": "1"}))
    assert not gives_back(table, DatasetRow(variables={"q": 1}))
    assert not gives_back(Layout(kind="chat"), DatasetRow(variables={"q": "x"}))


def test_calls_become_rows(mm: ModelManager):
    calls = [mm.generate(f"Question {n}", model="sim-fast", system="Be brief.") for n in range(2)]

    version = mm.datasets.from_log("d", calls, expects=True)

    assert (version.ref, version.origin, version.n_without_checks) == ("d@1", "log", 0)
    first = mm.datasets.rows("d")[0]
    assert first.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Question 0"})
    assert (first.expected, first.metadata["generation_id"]) == (calls[0].text, calls[0].id)
    assert mm.datasets.from_log("d", calls[:1]).number == 2
    for wrong, says in (
        (a_generation("g1"), "texts of the call g1 are not kept"),
        (a_generation("g2", messages=(Message("user", "x", (Media("image/png"),)),)), "g2 holds more than texts"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            mm.datasets.from_log("d", [wrong])
