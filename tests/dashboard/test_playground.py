"""A call is opened again with its whole conversation, and its code sends the vendor the same."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core import ModelManager
from core.domain.generation import Generation, Message, Parameters, Request
from core.domain.message import Media, Tool, ToolCall, ToolResult
from dashboard import process
from dashboard.components.playground import code
from tests.builders import FLASH, Running, running_gateway
from tests.conftest import ROOT, copied
from tests.fakes import gemini as wire
from tests.fakes.gemini import KEY, FakeGemini
from tests.pages import page_app

pytestmark = pytest.mark.usefixtures("pages_as_served")
UGLY = 'It\'s "so" \\ \n\tEND\nEOF\n${HOME} $(id) `id` !! %s {x} é 漢 🎉 \'\'\'  """ </pre> \\n'
TOOL = Tool(
    name="weather",
    description=f"Says it. {UGLY}",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)
TALK = (
    Message("user", UGLY),
    Message.of("model", (ToolCall("call_1", "weather", '{"city": "Zürich \\"HB\\""}'),)),
    Message.of("user", (ToolResult("call_1", "weather", '{"sky": "grey $1"}'),)),
    Message("model", "Grey."),
    Message.of("user", ("And this? " + UGLY, Media("image/png", data="iVBORw0KGgo="))),
)
REQUESTS = {
    "tools": Request(
        model=FLASH, messages=TALK, system=UGLY, tools=(TOOL,),
        parameters=Parameters(temperature=0.3, max_tokens=99, top_p=0.9, seed=7, stop=("END", "it's"), thinking_budget=128),
    ),
    "schema": Request(
        model=FLASH, messages=TALK[3:], parameters=Parameters(json_schema={"type": "object", "title": UGLY, "properties": {}})
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory):
    with running_gateway(copied(sqlite_template, tmp_path_factory.mktemp("same"))) as served:
        process.use(served.mm)
        yield served
        process.use(None)


def _received(fake: FakeGemini) -> dict[str, Any]:
    """What the vendor was asked, in one spelling: it reads `mime_type` and `mimeType` alike."""
    return _camel(fake.requests[-1]["body"])


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {re.sub("_([a-z])", lambda found: found[1].upper(), name): _camel(each) for name, each in value.items()}


def _run(text: str, language: str, gateway: Running, folder: Path) -> None:
    environ = {
        **os.environ, "DATABASE_URL": f"sqlite:///{folder}/cli.db", "GEMINI_API_KEY": KEY,
        "GOOGLE_GEMINI_BASE_URL": gateway.gemini.url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    command = [sys.executable, "-c", text] if language == "python" else ["bash", "-c", f"set -o histexpand\n{text}"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Like this." in done.stdout


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("kind", code.KINDS)
def test_the_code_of_a_call_sends_the_vendor_the_same(gateway: Running, tmp_path: Path, kind: str, name: str):
    gateway.gemini.clear()
    gateway.gemini.next(wire.answer("Like this."), wire.answer("Like this."))
    gateway.mm.submit(REQUESTS[name]).result()
    ours = _received(gateway.gemini)

    text = code.snippet(kind, REQUESTS[name], gateway.address)
    _run(text, code.KINDS[kind], gateway, tmp_path)

    assert _received(gateway.gemini) == ours
    assert len(ours["contents"]) == len(REQUESTS[name].messages)


@pytest.fixture
def app(open_manager, sqlite_url: str, gemini: FakeGemini):
    yield from page_app(open_manager(sqlite_url, gemini, call_timeout_s=30.0))


def _asked_by_a_program(mm: ModelManager, gemini: FakeGemini) -> Generation:
    gemini.next(wire.answer("A picture of nothing."))
    made = mm.submit(REQUESTS["tools"]).result()
    assert made.status == "ok", made.error_message
    return made


def _send(app: AppTest, gemini: FakeGemini, prompt: str) -> dict[str, Any]:
    gemini.next(wire.answer("Like this."))
    app.text_area(key="play_prompt").input(prompt)
    app.button(key="play_run").click().run()
    assert not app.exception
    return _received(gemini)


def test_a_reopened_call_goes_on_with_its_whole_conversation(app: AppTest, gemini: FakeGemini):
    made = _asked_by_a_program(process.manager(), gemini)
    first = _received(gemini)
    app.query_params["conversation"] = made.id
    app.run()

    sent = _send(app, gemini, "And now?")

    assert [turn["role"] for turn in sent["contents"]] == ["user", "model", "user", "model", "user", "model", "user"]
    assert sent["contents"][:4] == first["contents"][:4]
    assert sent["contents"][5:] == [
        {"role": "model", "parts": [{"text": "A picture of nothing."}]}, {"role": "user", "parts": [{"text": "And now?"}]}
    ]  # fmt: skip
    for part in ("systemInstruction", "generationConfig", "tools"):
        assert sent[part] == first[part], part
    given = app.query_params["conversation"]
    after = given if isinstance(given, str) else given[0]
    assert process.manager().log.get(after).ref_id == made.id

    again = AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120)
    again.query_params["conversation"] = after
    again.run()
    assert len(_send(again, gemini, "Third")["contents"]) == 9


@pytest.mark.parametrize(("n", "draft", "sent"), [(5, "And this? " + UGLY, 5), (4, "", 5), (1, UGLY, 1), (2, "", 3)])
def test_a_conversation_is_branched_at_any_message(app: AppTest, gemini: FakeGemini, n: int, draft: str, sent: int):
    made = _asked_by_a_program(process.manager(), gemini)
    app.query_params["conversation"] = made.id
    app.run()
    app.button(key=f"branch_{made.id}_{n}").click().run()

    assert (app.text_area(key="play_prompt").value or "") == draft
    assert len(_send(app, gemini, draft or "Go on")["contents"]) == sent


def test_a_failed_turn_can_be_asked_again_and_loses_nothing(app: AppTest, gemini: FakeGemini):
    app.run()
    app.selectbox(key="play_model").select(FLASH).run()
    gemini.next(wire.answer("Hello Ada."))
    app.text_area(key="play_prompt").input("I am Ada.")
    app.button(key="play_run").click().run()
    gemini.next(wire.error(400, "INVALID_ARGUMENT", "No."))
    app.text_area(key="play_prompt").input("Who am I?")
    app.button(key="play_run").click().run()
    assert "Who am I?" in "\n".join(each.value for each in app.markdown)

    gemini.next(wire.answer("Ada."))
    app.button(key="play_again").click().run()

    texts = [turn["parts"][0]["text"] for turn in gemini.requests[-1]["body"]["contents"]]
    assert texts == ["I am Ada.", "Hello Ada.", "Who am I?"]


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ('{"type": ', "not JSON"),
        ('{"type": "object", "x": NaN}', "not JSON"),
        ("[" * 300, "not JSON"),
        ("true", "is an object"),
        ('["a"]', "is an object"),
        ('{"type": "objekt"}', "not a JSON schema"),
        ('{"properties": {"a": {"minimum": "1"}}}', "not a JSON schema"),
        ('{"$ref": "#/$defs/missing"}', "which it does not contain"),
        ('{"$ref": "http://localhost:1/x.json"}', "which it does not contain"),
    ],
)
def test_a_wrong_schema_holds_the_run_and_keeps_the_prompt(app: AppTest, gemini: FakeGemini, typed: str, why: str):
    app.run()
    app.selectbox(key="play_model").select(FLASH).run()
    app.text_area(key="play_parameter_json_schema").input(typed)
    app.text_area(key="play_prompt").input("Count.")
    before = len(gemini.requests)
    app.button(key="play_run").click().run()

    assert why in "\n".join(error.value for error in app.error)
    assert app.button(key="play_run").disabled and app.text_area(key="play_prompt").value == "Count."
    assert len([r for r in gemini.requests[before:] if "contents" in (r.get("body") or {})]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": 3}', "Matches the JSON schema"), ('{"n": 0}', "less than the minimum"), ('{"n": "3"}', "not of type"),
        ("{}", "required"), ("```json\n{}\n```", "not only JSON"), ('{"n": 3', "not JSON"), ('{"n": NaN}', "not JSON"),
    ],
)  # fmt: skip
def test_an_answer_is_held_against_its_schema(app: AppTest, gemini: FakeGemini, text: str, said: str):
    app.run()
    app.selectbox(key="play_model").select(FLASH).run()
    app.text_area(key="play_parameter_json_schema").input(json.dumps(SCHEMA)).run()
    app.number_input(key="play_parameter_temperature").set_value(0.5)
    gemini.next(wire.answer(text))
    app.text_area(key="play_prompt").input("Count.")
    app.button(key="play_run").click().run()

    assert said in "\n".join(str(each.value) for each in (*app.warning, *app.markdown)).replace("\\", "")
    config = gemini.requests[-1]["body"]["generationConfig"]
    assert config["responseJsonSchema"] == SCHEMA and config["temperature"] == 0.5
