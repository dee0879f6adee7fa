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
from tests.builders import FLASH, Running, printed_by, running_gateway
from tests.conftest import ROOT, copied, fresh
from tests.fakes import gemini as wire
from tests.fakes.gemini import KEY, FakeGemini
from tests.pages import answered, ask, page_app, show, texts

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
        **os.environ, "DATABASE_URL": fresh(folder), "GEMINI_API_KEY": KEY,
        "GOOGLE_GEMINI_BASE_URL": gateway.gemini.url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    if language == "python":
        assert "Like this." in printed_by(text, environ)
        return
    command = ["bash", "-c", f"set -o histexpand\n{text}"]
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
    turns = REQUESTS[name].messages  # to Gemini, a conversation is begun by the user
    assert len(ours["contents"]) == len(turns) + (turns[0].role == "model")


@pytest.fixture
def chat(open_manager, sqlite_url: str, gemini: FakeGemini):
    for app in page_app(open_manager(sqlite_url, gemini, call_timeout_s=30.0)):
        yield show(app, "playground")


def labels(app: AppTest) -> str:
    """What buttons and popovers say."""
    return "\n".join([*(each.label for each in app.button), *(each.proto.popover.label for each in app.get("popover"))])


def _asked_by_a_program(mm: ModelManager, gemini: FakeGemini) -> Generation:
    gemini.next(wire.answer("A picture of nothing."))
    made = mm.submit(REQUESTS["tools"]).result()
    assert made.status == "ok", made.error_message
    return made


def _send(chat: AppTest, gemini: FakeGemini, prompt: str) -> dict[str, Any]:
    gemini.next(wire.answer("Like this."))
    ask(chat, prompt)
    assert not chat.exception
    return _received(gemini)


def test_a_reopened_call_goes_on_with_its_whole_conversation(chat: AppTest, gemini: FakeGemini):
    made = _asked_by_a_program(process.manager(), gemini)
    first = _received(gemini)
    chat.query_params["conversation"] = made.id
    chat.run()

    sent = _send(chat, gemini, "And now?")

    assert [turn["role"] for turn in sent["contents"]] == ["user", "model", "user", "model", "user", "model", "user"]
    assert sent["contents"][:4] == first["contents"][:4]
    assert sent["contents"][5:] == [
        {"role": "model", "parts": [{"text": "A picture of nothing."}]}, {"role": "user", "parts": [{"text": "And now?"}]}
    ]  # fmt: skip
    for part in ("systemInstruction", "generationConfig", "tools"):
        assert sent[part] == first[part], part
    given = chat.query_params["conversation"]
    after = given if isinstance(given, str) else given[0]
    assert process.manager().log.get(after).ref_id == made.id

    again = AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120)
    again.run().switch_page("pages/playground.py")
    again.query_params["conversation"] = after
    again.run()
    assert len(_send(again, gemini, "Third")["contents"]) == 9


@pytest.mark.parametrize(("n", "draft", "sent"), [(5, "And this? " + UGLY, 5), (4, "", 5), (1, UGLY, 1), (2, "", 3)])
def test_a_conversation_is_branched_at_any_message(chat: AppTest, gemini: FakeGemini, n: int, draft: str, sent: int):
    made = _asked_by_a_program(process.manager(), gemini)
    chat.query_params["conversation"] = made.id
    chat.run()
    chat.button(key=f"branch_{made.id}_{n}").click().run()

    if draft:
        assert chat.text_area(key="play_draft").value == draft
        gemini.next(wire.answer("Like this."))
        answered(chat.button(key="play_draft_send").click().run())
        assert len(_received(gemini)["contents"]) == sent
    else:
        assert len(_send(chat, gemini, "Go on")["contents"]) == sent


def test_a_failed_turn_can_be_asked_again_and_loses_nothing(chat: AppTest, gemini: FakeGemini):
    chat.run()
    chat.selectbox(key="play_model").select(FLASH).run()
    gemini.next(wire.answer("Hello Ada."))
    ask(chat, "I am Ada.")
    gemini.next(wire.error(400, "INVALID_ARGUMENT", "No."))
    ask(chat, "Who am I?")
    assert "Who am I?" in texts(chat)

    gemini.next(wire.answer("Ada."))
    failed = process.manager().log.latest()[0]
    answered(chat.button(key=f"retry_{failed.id}").click().run())

    sent = [turn["parts"][0]["text"] for turn in gemini.requests[-1]["body"]["contents"]]
    assert sent == ["I am Ada.", "Hello Ada.", "Who am I?"]


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
def test_a_wrong_schema_holds_the_run_and_keeps_the_prompt(chat: AppTest, gemini: FakeGemini, typed: str, why: str):
    chat.run()
    chat.selectbox(key="play_model").select(FLASH).run()
    chat.text_area(key="play_json_schema").input(typed)
    before = len(gemini.requests)
    chat.chat_input(key="play_prompt").set_value("Count.").run()

    assert why in "\n".join(error.value for error in chat.error)
    assert chat.chat_input(key="play_prompt").proto.value == "Count."
    assert len([r for r in gemini.requests[before:] if "contents" in (r.get("body") or {})]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": 3}', "Matches the JSON schema"), ('{"n": 0}', "less than the minimum"), ('{"n": "3"}', "not of type"),
        ("{}", "required"), ("```json\n{}\n```", "not only JSON"), ('{"n": 3', "not JSON"), ('{"n": NaN}', "not JSON"),
    ],
)  # fmt: skip
def test_an_answer_is_held_against_its_schema(chat: AppTest, gemini: FakeGemini, text: str, said: str):
    chat.run()
    chat.selectbox(key="play_model").select(FLASH).run()
    chat.text_area(key="play_json_schema").input(json.dumps(SCHEMA)).run()
    chat.number_input(key="play_temperature").set_value(0.5)
    gemini.next(wire.answer(text))
    ask(chat, "Count.")

    assert said in "\n".join(str(each.value) for each in (*chat.warning, *chat.markdown)).replace("\\", "")
    config = gemini.requests[-1]["body"]["generationConfig"]
    assert config["responseJsonSchema"] == SCHEMA and config["temperature"] == 0.5


def test_an_answer_is_held_against_checks(chat: AppTest, gemini: FakeGemini):
    chat.run()
    chat.selectbox(key="play_model").select(FLASH).run()
    chat.text_area(key="play_checks").input("- {type: contains, value: sea}\n- {type: word-count, value: 99}").run()
    gemini.next(wire.answer("The sea is wide."))
    ask(chat, "Tell.")

    assert ":green-badge[:material/check: contains]" in texts(chat)
    assert ":red-badge[:material/close: word-count]" in texts(chat)
    chat.text_area(key="play_checks").input("- {type: containz, value: sea}").run()
    assert any("containz" in error.value for error in chat.error)
    assert not chat.exception


def test_settings_stand_in_the_address(app: AppTest):
    show(app, "playground")
    app.number_input(key="play_temperature").set_value(0.5)
    app.text_area(key="play_system").input("Be brief.").run()
    ask(app, "Hello")
    app.number_input(key="play_cap").set_value(0.25)
    app.number_input(key="play_temperature").set_value(None).run()
    address = {name: app.query_params[name] for name in app.query_params}
    assert address.keys() == {"model", "conversation", "settings"}

    sent = AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120)
    sent.switch_page("pages/playground.py")
    for name, value in address.items():
        sent.query_params[name] = value
    sent.run()
    fields = {"play_system": "Be brief.", "play_temperature": None, "play_cap": 0.25}
    assert {name: sent.session_state[name] for name in fields} == fields
    sent.button(key="play_new").click().run()
    assert {name: sent.session_state[name] for name in fields} == fields, "a new chat keeps them"

    for wrong in ("{", '{"temperature": "hot", "thinking_level": "deep", "max_tokens": true}'):
        sent.query_params["settings"] = wrong
        sent.run()
        assert not sent.exception and sent.session_state["play_temperature"] is None


def test_a_simulated_model_answers_with_a_receipt(app: AppTest):
    show(app, "playground")
    ask(app, "Why do cats purr?")

    assert not app.exception
    assert "In short" in texts(app)
    assert "simulated" in texts(app)
    logged = process.manager().log.latest()[0]
    assert f"{logged.usage.total_tokens} tokens" in labels(app)


def test_a_second_turn_carries_the_first(chat: AppTest, gemini: FakeGemini):
    show(chat, "playground")
    for prompt, reply in (("My name is Ada.", "Hello Ada."), ("What is my name?", "Ada.")):
        gemini.next(wire.answer(reply))
        ask(chat, prompt)

    sent = [content["parts"][0]["text"] for content in gemini.requests[-1]["body"]["contents"]]
    assert sent == ["My name is Ada.", "Hello Ada.", "What is my name?"]


def test_a_failed_call_says_what_happened_and_what_to_do(chat: AppTest, gemini: FakeGemini):
    show(chat, "playground")
    gemini.next(wire.rate_limited(99))
    ask(chat, "Hi")

    assert not chat.exception
    assert "quota is used up" in texts(chat)

    broken = wire.error(400, "INVALID_ARGUMENT", "Bad argument")  # a vendor's words without a full stop
    cut = wire.Reply(events=[wire.event('{"a": "unfin', finish="MAX_TOKENS", usage=wire.usage())])
    for reply, words in ((broken, "Bad argument. Nothing was charged."), (cut, "Cut at max output tokens")):
        gemini.next(reply)
        ask(chat, "Hi")
        assert words in texts(chat)


def test_only_parameters_that_the_model_accepts_are_shown(chat: AppTest):
    show(chat, "playground")
    chat.selectbox(key="play_model").select("gemini-2.5-flash").run()
    assert "Thinking budget (tokens)" in [n.label for n in chat.number_input]

    chat.selectbox(key="play_model").select("sim-fast").run()
    assert "Thinking budget (tokens)" not in [n.label for n in chat.number_input]


def test_a_receipt_says_which_models_have_no_price_for_its_service_tier(chat: AppTest, gemini: FakeGemini):
    mm = process.manager()
    mm.prices.set_price({"provider": "gemini", "model": "gemini-unpriced-1", "input": 1, "output": 1})
    mm.generate("Hi", model="gemini-2.5-flash", service_tier="flex")

    def script() -> None:
        from dashboard import process
        from dashboard.components import receipt

        receipt.show(process.manager().log.latest()[0])

    app = AppTest.from_function(script).run()

    assert "Models without a flex price, shown at the standard one: 1" in texts(app)
    tiers = app.dataframe[0].value.set_index("model")["service tier"]
    assert (tiers["gemini-unpriced-1"], tiers["gemini-2.5-pro"]) == ("standard", "flex")


def test_other_answers_stand_beside_one_and_show_their_spread(chat: AppTest, gemini: FakeGemini):
    mm = process.manager()
    gemini.next(wire.answer("First."))
    ask(chat, "Say one word.")
    first = mm.log.get(mm.log.latest()[0].id)
    gemini.next(wire.answer("Second."), wire.answer("Third."), wire.error(400, "INVALID_ARGUMENT", "No."))

    answered(_choose(chat, f"runs_{first.id}", 3))
    answered(_choose(chat, f"beside_{first.id}", "sim-fast"))
    chat.button(key=f"star_{first.id}").click().run()

    others = mm.log.parts_of([first.id], "beside")
    assert [g.text for g in (first, *others) if g.text not in texts(chat)] == []
    spread = chat.dataframe[-1].value.set_index("model")
    assert list(spread["answers"]) == [3, 1] and list(spread["failed"]) == [1, 0]
    assert {g.messages for g in others} == {first.messages}
    assert [each.thumb for each in mm.feedback.of(first.id)] == ["up"]

    again = next(g for g in others if g.text and not g.is_simulated)
    gemini.next(wire.answer("Good."))
    chat.button(key=f"continue_{again.id}").click().run()
    ask(chat, "And now?")
    assert [turn["parts"][0]["text"] for turn in _received(gemini)["contents"]] == [
        "Say one word.", again.text, "And now?",
    ]  # fmt: skip


def _choose(app: AppTest, key: str, option: object) -> AppTest:
    return next(each for each in app.get("menu_button") if each.key == key).set_value(option).run()


def test_a_picture_goes_along_where_the_model_reads_it(chat: AppTest, gemini: FakeGemini):
    chat.chat_input(key="play_prompt").upload("a.PNG", b"no picture", "image/png")
    gemini.next(wire.answer("Nothing to see."))
    ask(chat, "What is it?")

    picture, text = _received(gemini)["contents"][0]["parts"]
    assert picture["inlineData"] == {"mimeType": "image/png", "data": "bm8gcGljdHVyZQ=="}
    assert text == {"text": "What is it?"} and "image/png" in texts(chat)
    chat.selectbox(key="play_model").select("sim-fast").run()
    assert not chat.chat_input(key="play_prompt").proto.accept_file


def test_a_refusal_counts_down_and_another_model_can_answer(chat: AppTest, gemini: FakeGemini):
    gemini.next(wire.rate_limited(99))
    ask(chat, "Hi")
    failed = process.manager().log.latest()[0]
    assert "Nothing was charged" in texts(chat) and "Retry in 9" in labels(chat)

    answered(_choose(chat, f"other_{failed.id}", "sim-fast"))

    assert chat.selectbox(key="play_model").value == "sim-fast"
    assert "In short" in texts(chat)
