"""/api/prompts and /api/datasets, and the same by `aimm prompts` and `aimm datasets`."""

import io
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from core import InvalidRequest
from core.cli.__main__ import main
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.generation import Parameters
from core.domain.message import Tool
from core.prompts import files
from tests.builders import Heard, Running

CONTENT = {
    "system": "Be {{tone}}.", "messages": [{"role": "user", "content": "Greet {{who}}."}], "model": "sim-fast",
    "parameters": {"temperature": 0.5, "json_schema": {"type": "object"}},
    "tools": [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}, "strict": True}}],
}  # fmt: skip


def send(served: Running, method: str, path: str, body: Any = None) -> Heard:
    raw = None if body is None else json.dumps(body).encode()
    return served._ask(
        urllib.request.Request(served.address + path, raw, {"Content-Type": "application/json"}, method=method)
    )


def test_a_prompt_by_http(served: Running):
    made = served.post("/api/prompts/hello", CONTENT | {"note": "first", "author": "Ann"})

    assert made.status == 201
    version = made.json["version"]
    assert {**version, "created_at": "", "digest": ""} == {
        "prompt": "hello", "number": 1, "ref": "hello@1", "labels": [], "note": "first", "author": "Ann",
        "variables": ["tone", "who"], "created_at": "", "digest": "",
        "content": {
            "model": "sim-fast", "parameters": CONTENT["parameters"],
            "tools": [{"name": "look_up", "description": "", "parameters": {"type": "object"}, "is_custom": False, "is_strict": True}],
            "messages": [{"role": "system", "content": "Be {{tone}}."}, {"role": "user", "content": "Greet {{who}}."}],
        },
    }  # fmt: skip
    assert served.post("/api/prompts/hello", version["content"]).json["version"] == version
    assert served.post("/api/prompts/hello", {"prompt": "Greet {{who}} twice."}).json["version"]["number"] == 2

    assert send(served, "PUT", "/api/prompts/hello/labels/live", {"number": 1}).json["move"]["was"] is None
    assert send(served, "PUT", "/api/prompts/hello/labels/live", {"number": 2, "run_id": "e1"}).json["move"]["was"] == 1
    assert send(served, "POST", "/api/prompts/hello/labels/live/undo", {}).json["move"]["number"] == 1
    assert served.get("/api/prompts/hello/versions/live").json["version"]["number"] == 1
    found = served.get("/api/prompts/hello").json
    assert [each["number"] for each in found["versions"]] == [2, 1]
    assert [(each["was"], each["number"], each["run_id"]) for each in found["moves"]] == [
        (2, 1, ""),
        (1, 2, "e1"),
        (None, 1, ""),
    ]
    difference = served.get("/api/prompts/hello/diff?from=live&to=2").json["diff"]
    assert "--- hello@1" in difference and "+  content: Greet {{who}} twice." in difference
    listed = {each["name"]: each for each in served.get("/api/prompts").json["prompts"]}
    assert listed["hello"]["labels"] == {"live": 1} and listed["hello"]["newest"]["ref"] == "hello@2"
    assert send(served, "DELETE", "/api/prompts/hello").status == 200
    assert served.get("/api/prompts/hello").status == 404


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "needs a turn"),
        ({"prompt": "{{"}, "a stray {{"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "message 1: role == 'tool'"),
        ({"messages": [{"role": "user"}]}, "message 1 has no text"),
        ({"prompt": "x", "parameters": {"temprature": 1}}, "Did you mean temperature"),
        ({"prompt": "x", "parameters": {"temperature": 9}}, "temperature == 9"),
        ({"prompt": "x", "tools": [{}]}, "tool 1 has no `name`"),
        ({"prompt": "x", "tools": [{"name": "f", "parameters": 3}]}, "must be an object"),
    ],
)
def test_a_prompt_that_cannot_be_asked_is_refused(served: Running, body: Any, says: str):
    answer = served.post("/api/prompts/wrong", body)

    assert answer.status == 422 and says in answer.json["error"]
    assert served.get("/api/prompts/wrong").status == 404


CSV = "q;answer;__expected\nWhy?;Because;contains: x\nHow?;So;\n"


def test_a_dataset_by_http(served: Running):
    body = {"text": CSV, "mapping": {"answer": "expected"}}
    preview = served.post("/api/datasets/preview", body).json["preview"]
    assert (preview["format"], preview["separator"], preview["columns"]) == ("csv", ";", ["q", "answer", "__expected"])
    assert preview["roles"] == {"answer": "expected", "__expected": "test"} and preview["n_rows"] == 2
    assert preview["rows"][0]["content"]["checks"] == [{"type": "contains", "value": "x"}]

    made = served.post("/api/datasets/cases", body | {"note": "n", "author": "Ann", "filename": "cases.csv"})
    assert made.status == 201 and made.json["warnings"] == []
    assert (made.json["version"]["ref"], made.json["version"]["origin"]) == ("cases@1", "cases.csv")
    again = served.post("/api/datasets/cases", {"text": "q,n\nNew?,1\n", "adds": True})
    assert (again.json["version"]["number"], again.json["version"]["n_rows"]) == (2, 3)

    rows = served.get("/api/datasets/cases@1/rows?start=1&limit=1").json["rows"]
    assert [row["content"] for row in rows] == [{"variables": {"q": "How?"}, "expected": "So"}]
    export = served.get("/api/datasets/cases@1/export")
    assert export.body.decode().splitlines() == CSV.splitlines() and export.headers["content-type"].startswith(
        "text/csv"
    )
    assert len(served.get("/api/datasets/cases/export?format=jsonl").body.splitlines()) == 3
    assert [each["number"] for each in served.get("/api/datasets/cases").json["versions"]] == [2, 1]
    assert "cases" in {each["name"] for each in served.get("/api/datasets").json["datasets"]}
    assert send(served, "DELETE", "/api/datasets/cases").status == 200
    assert served.get("/api/datasets/cases/rows").status == 404


def test_a_bad_row_refuses_an_import_by_http(served: Running):
    body = {"text": "q,b\na,1\nx,1,2\n"}

    assert served.post("/api/datasets/preview", body).json["preview"]["problems"][0]["line"] == 3
    answer = served.post("/api/datasets/bad", body)
    assert answer.status == 422 and "line 3" in answer.json["error"]
    assert served.post("/api/datasets/bad", body | {"skip_bad": True}).json["version"]["note"].endswith("line 3.")
    for wrong in ({"text": CSV, "format": "xlsx"}, {"text": CSV, "mapping": {"nowhere": "tags"}}, {"text": ""}):
        assert served.post("/api/datasets/bad", wrong).status == 422


# The command line


@pytest.fixture
def run(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> Any:
    """Runs `aimm`, and gives its exit code, what it wrote and what it complained of."""
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.chdir(tmp_path)

    def run_(*args: str, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        code = main(args)
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run_


def test_prompts_on_the_command_line(run: Any, tmp_path: Path):
    (tmp_path / "support.txt").write_text("Answer {{question}}.\n")
    (tmp_path / "two.yaml").write_text("name: support\nsystem: Be {{tone}}.\nprompt: |\n  Answer\n  {{question}}.\n")

    code, out, _ = run("prompts", "push", "support.txt", "--label", "live", "--note", "first")
    assert code == 0 and out.startswith("support@1 ") and "variables: question\nlive is support@1 now." in out
    assert run("prompts", "push", "two.yaml")[1].startswith("support@2 ")
    assert "+- role: system" in run("prompts", "diff", "support@live", "support@2")[1]
    assert run("prompts", "label", "support@2", "live")[1] == "live is support@2 now; it was support@1.\n"
    assert run("prompts", "label", "support", "live", "--undo")[1] == "live is support@1 now; it was support@2.\n"
    assert "support\t2 versions" in run("prompts", "list")[1] and "live@1" in run("prompts", "list")[1]
    assert "first\n\nAnswer {{question}}." in run("prompts", "show", "support")[1]

    assert run("prompts", "pull", "support@2", "-o", "pulled.yaml")[0] == 0
    assert run("prompts", "push", "pulled.yaml")[1].startswith("support@2 ")
    assert "They are the same." in run("prompts", "diff", "support@2", "support@2")[1]
    code, _, err = run("prompts", "show", "suport")
    assert code == 1 and "Did you mean support?" in err
    assert run("prompts", "push", "none.yaml")[0] == 1


def test_datasets_on_the_command_line(run: Any, tmp_path: Path):
    (tmp_path / "cases.csv").write_text(CSV)
    (tmp_path / "bad.csv").write_text("q,b\na,1\nx,1,2\n")

    code, out, _ = run("datasets", "import", "cases.csv", "--map", "answer=expected", "--dry-run")
    assert code == 0 and "2 rows; q (variable), answer (expected), __expected (test)" in out
    assert run("datasets", "list")[1] == ""
    assert "cases@1\t2 rows\t" in run("datasets", "import", "cases.csv", "--map", "answer=expected")[1]
    assert "cases@2\t3 rows" in run("datasets", "import", "-", "--name", "cases", "--add", given="q\nNew?\n")[1]
    assert '"expected": "Because"' in run("datasets", "show", "cases@1", "-n", "1")[1]
    assert run("datasets", "export", "cases@1")[1].splitlines() == CSV.splitlines()
    assert run("datasets", "export", "cases@1", "--format", "jsonl", "-o", "out.jsonl")[0] == 0
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2

    code, _, err = run("datasets", "import", "bad.csv")
    assert code == 1 and "bad row: line 3" in err and "No row states a check" in err
    assert "1 bad row was left out: line 3." in run("datasets", "import", "bad.csv", "--skip-bad")[1]
    for wrong in (
        ["import", "-"],
        ["import", "none.csv"],
        ["export", "nowhere"],
        ["export", "cases", "-o", "no/where"],
    ):
        assert run("datasets", *wrong, given=CSV)[0] == 1


# Files


def test_a_version_is_written_and_read_again(mm: Any):
    made = PromptContent(
        messages=(PromptMessage("system", " Be\nbrief.\u2028\n"), PromptMessage("user", "1e3"), PromptMessage("assistant", "no")),
        model="m", parameters=Parameters(temperature=0.1, stop=("x",), json_schema={"type": "object"}),
        tools=(Tool(name="f", description="d", parameters={"type": "object"}, is_strict=True), Tool(name="g", is_custom=True)),
    )  # fmt: skip
    version = mm.prompts.save("p", made, note="a: b")

    assert files.read(files.written(version), "other.yaml") == ("p", made, "a: b")
    assert files.content_of(files.to_dict(made)) == made


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("a: [", "x.yaml", "not YAML: line 1"),
        ("{", "x.json", "line 1: this is not JSON"),
        ("3", "x.json", "an object with `messages`"),
        ('{"promt": "x"}', "x.json", "Did you mean prompt"),
        ('{"messages": {}}', "x.json", "`messages` must be a list"),
        ('{"prompt": "x", "parameters": []}', "dir/x.json", None),
        ('{"prompt": "x", "model": 3}', "x.json", "`model` must be a name"),
    ],
)
def test_a_file_that_is_no_prompt_is_told(text: str, name: str, says: str | None):
    if says is None:
        assert files.read(text, name)[0] == "x"
        return
    with pytest.raises(InvalidRequest) as error:
        files.read(text, name)
    assert says in error.value.text


def test_a_list_of_turns_and_a_bare_text_are_prompts():
    turns = '[{"role": "developer", "content": "S"}, {"role": "user", "text": "U"}]'
    assert files.read(turns, "chat.json")[1].messages == (PromptMessage("system", "S"), PromptMessage("user", "U"))
    assert files.read("a {{b}}\n", "x/README")[:2] == (
        "README",
        PromptContent(messages=(PromptMessage("user", "a {{b}}"),)),
    )
