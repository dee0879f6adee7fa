"""Calls of tools on their way: what a model wrote arrives as it wrote it, or not at all; never as a call without arguments."""

import json
from typing import Any

import pytest

from api.gateway.gemini import request as gemini_request
from api.gateway.openai import request as openai_request
from core import InvalidRequest
from core.domain.generation import Request
from core.formats.text import mended
from core.providers.anthropic.request import to_body as anthropic_body
from core.providers.gemini.request import to_body as gemini_body
from core.providers.gemini.response import Reader
from core.providers.openai import request as openai
from core.providers.tool_calls import CallReader
from tests.builders import CLAUDE, FLASH, GPT, HELLO, Running
from tests.fakes import gemini as gemini_fake
from tests.fakes.vendors import Reply, anthropic_answer, openai_answer, openai_tools

LLAMA = "llama3.2:3b"
READABLE = [
    ('{"city": "Köln"}', {"city": "Köln"}),
    ("{}", {}),
    ("", {}),
    (" \n", {}),
    ('{"n": 1e3, "deep": {"a": [null, true]}}', {"n": 1000.0, "deep": {"a": [None, True]}}),
    ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
    ('{"a": 1, "a": 2}', {"a": 2}),  # as every parser of clients reads it
    ('"{\\"city\\": \\"Bonn\\"}"', {"city": "Bonn"}),
]
UNREADABLE = [
    '{"city": "Kö', "{", '{"city": "Bonn"', "{'city': 'Bonn'}", "{city: 1}", '{"a": True}', '{"a": 1,}', '{"a": NaN}', '{"a": Infinity}',
    '{"a": 1e999}', '{"a": 1}{"a": 2}', '{}{"a": 1}', '{"a": "x\ny"}', '{"a": "\\x"}', "[1]", '["a"]', '"Bonn"', "5", "null", "true", "Bonn", '{"a": ' * 300 + "1" + "}" * 300, '{"a": %s}' % ("9" * 5000),
]  # fmt: skip


# Requests


def asked_by_openai(*messages: Any, **more: Any) -> Request:
    return openai_request.chat({"model": "m", "messages": [*HELLO, *messages], **more})


def asked_by_gemini(*contents: Any, **more: Any) -> Request:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, *contents], **more}
    return gemini_request.content("m", body, is_streamed=False)


def told(request: Request) -> tuple[list[Any], list[Any], list[Any]]:
    """(calls, results) as Anthropic, Gemini and servers of the OpenAI wire get them."""
    blocks = [b for m in anthropic_body(request)["messages"] if isinstance(m["content"], list) for b in m["content"]]
    parts = [part for content in gemini_body(request)["contents"] for part in content["parts"]]
    messages = [each for message in request.messages for each in openai._to_messages(message, True)]
    return (
        [b.get("input", b.get("content")) for b in blocks if b["type"] in ("tool_use", "tool_result")],
        [p["functionCall"]["args"] for p in parts if "functionCall" in p]
        + [p["functionResponse"]["response"] for p in parts if "functionResponse" in p],
        [c["function"]["arguments"] for m in messages for c in m.get("tool_calls", ())]
        + [m["content"] for m in messages if m["role"] == "tool"],
    )


ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "7"}


def called(arguments: Any, call_id: str = "c1", name: str = "weather") -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": call_id, "function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    ("arguments", "written", "meant"),
    [
        *((text, text or "{}", meant) for text, meant in READABLE),
        *((text, text, {"INVALID_JSON": text}) for text in UNREADABLE),
        ({"city": "Köln"}, '{"city": "Köln"}', {"city": "Köln"}),
        ([1], "[1]", {"INVALID_JSON": "[1]"}),
        (None, "{}", {}),
    ],
)
def test_past_calls_reach_every_vendor_as_they_were(arguments: Any, written: str, meant: Any):
    claude, gemini, chat = told(asked_by_openai(called(arguments), ANSWERED))

    assert (claude[:-1], gemini[:-1], chat[:-1]) == ([meant], [meant], [written])


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        ({"city": "Köln"}, {"city": "Köln"}),
        (None, {}),
        ({}, {}),
        ('{"city": "Bonn"}', {"city": "Bonn"}),
        ([1], {"INVALID_JSON": "[1]"}),
        ([], {"INVALID_JSON": "[]"}),
        (0, {"INVALID_JSON": "0"}),
    ],
)
def test_past_calls_of_geminis_clients_do_too(args: Any, meant: Any):
    for given in ({"name": "weather", "args": args}, {"name": "weather", **({} if args is None else {"args": args})}):
        answered = {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {}}}]}
        claude, gemini, _ = told(asked_by_gemini({"role": "model", "parts": [{"functionCall": given}]}, answered))
        assert (claude[:-1], gemini[:-1]) == ([meant], [meant])


@pytest.mark.parametrize(
    ("response", "text", "to_gemini", "is_error"),
    [
        ({"result": "7 °C"}, "7 °C", {"result": "7 °C"}, False),
        ({"output": {"t": 7}}, '{"t": 7}', {"t": 7}, False),
        ({"error": "no such city"}, "no such city", {"error": "no such city"}, True),
        ({"t": 7}, '{"t": 7}', {"t": 7}, False),
        ([7, 8], "[7, 8]", {"result": "[7, 8]"}, False),
        ("7 °C", "7 °C", {"result": "7 °C"}, False),
        ({}, "{}", {"result": "{}"}, False),
        (None, "", {"result": ""}, False),
    ],
)
def test_results_reach_every_vendor(response: Any, text: str, to_gemini: Any, is_error: bool):
    call = {"role": "model", "parts": [{"functionCall": {"name": "weather"}}]}
    request = asked_by_gemini(call, {"parts": [{"functionResponse": {"name": "weather", "response": response}}]})

    claude, gemini, chat = told(request)

    assert (claude[1], gemini[1], chat[1]) == (text, to_gemini, f"Error: {text}" if is_error else text)
    assert anthropic_body(request)["messages"][2]["content"][0].get("is_error", False) is is_error


@pytest.mark.parametrize("text", ['{"t": NaN}', '{"t": 1e999}', "7 °C", '{"t": ' * 300 + "1" + "}" * 300])
def test_a_result_that_is_no_json_is_a_text(text: str):
    _, gemini, _ = told(asked_by_openai(called("{}"), {"role": "tool", "tool_call_id": "c1", "content": text}))

    assert gemini[1] == {"result": text}


def test_calls_and_results_find_each_other():
    """One id for several calls, none at all, and the legacy form."""
    twice = {
        "role": "assistant",
        "tool_calls": [*called("{}")["tool_calls"], *called('{"a": 1}', name="now")["tool_calls"]],
    }
    results = [{"role": "tool", "tool_call_id": "c1", "content": text} for text in ("first", "second")]
    ids: Any = (7, 8)  # as numbers
    numbered = [turn for n, text in zip(ids, ("first", "second"), strict=True) for turn in (called("{}", n), {"role": "tool", "tool_call_id": n, "content": text})]  # fmt: skip
    bare = {"role": "assistant", "tool_calls": [{"function": {"name": "now"}}, {"function": {"name": "now"}}]}
    old = {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}}
    for turns, names in (
        ([twice, *results], ["weather", "now"]),
        ([called("{}"), results[0], called("{}"), results[1]], ["weather", "weather"]),
        (numbered, ["weather", "weather"]),
        ([bare, *({"role": "tool", "content": text} for text in ("first", "second"))], ["now", "now"]),
        ([old, {"role": "function", "name": "now", "content": "first"}, old, {"role": "function", "name": "now", "content": "second"}], ["now", "now"]),
    ):  # fmt: skip
        parts = [part for message in asked_by_openai(*turns).messages for part in message.parts]
        calls, found = [p.id for p in parts if hasattr(p, "arguments")], [p for p in parts if hasattr(p, "call_id")]

        assert len(set(calls)) == 2
        assert [(p.call_id, p.name, p.text) for p in found] == list(zip(calls, names, ("first", "second"), strict=True))


def test_results_without_a_name_get_their_calls():
    calls = [{"functionCall": {"id": i, "name": name}} for i, name in (("c1", "weather"), ("c2", "now"))]
    results = [{"functionResponse": {"id": i, "response": {"output": ""}}} for i in ("c2", "c1")]
    turns = gemini_body(asked_by_gemini({"role": "model", "parts": calls}, {"parts": results}))["contents"]

    assert [part["functionResponse"]["name"] for part in turns[2]["parts"]] == ["weather", "now"]


def test_a_result_without_its_call_is_refused_where_calls_are_objects():
    result = {"role": "tool", "tool_call_id": "call_9", "content": "7"}

    for turns in ([result], [called("{}", "call_9"), result, result]):
        for make in (anthropic_body, gemini_body):
            with pytest.raises(InvalidRequest, match="call_9"):
                make(asked_by_openai(*turns))


TOOLS = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
NAMED = {"type": "function", "function": {"name": "a"}}


@pytest.mark.parametrize(
    ("given", "claude", "gemini", "offered"),
    [
        *((choice, {"type": to_claude}, {"mode": to_gemini}, 2) for word, to_claude, to_gemini in (("auto", "auto", "AUTO"), ("none", "none", "NONE"), ("required", "any", "ANY"), ("any", "any", "ANY"))
          for choice in (word, {"type": word})),
        *((choice, {"type": "tool", "name": "a"}, {"mode": "ANY", "allowedFunctionNames": ["a"]}, 2) for choice in (NAMED, {"type": "function", "name": "a"}, {"type": "custom", "custom": {"name": "a"}})),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}, {"type": "any"}, {"mode": "ANY"}, 1),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "a"}]}, {"type": "auto"}, {"mode": "AUTO"}, 1),
        (None, None, None, 2),
        ("", None, None, 2),
        *((choice, None, None, None) for choice in ("w", 5, {"type": "function"}, {"type": "hosted"})),
    ],
)  # fmt: skip
def test_which_tools_may_be_called_reaches_every_vendor_or_is_refused(
    given: Any, claude: Any, gemini: Any, offered: Any
):
    request = asked_by_openai(tools=TOOLS, tool_choice=given)
    assert request.native is not None
    if offered is None:
        assert [note.split()[0] for note in request.native.only] == ["tool_choice"]
        return
    by_claude, by_gemini = anthropic_body(request), gemini_body(request)

    assert by_claude.get("tool_choice") == claude
    assert by_gemini.get("toolConfig", {}).get("functionCallingConfig") == gemini
    assert len(by_claude["tools"]) == len(by_gemini["tools"][0]["functionDeclarations"]) == offered
    one = anthropic_body(asked_by_openai(tools=TOOLS, tool_choice=given, parallel_tool_calls=False))["tool_choice"]
    assert one == {"type": "none"} or (one.pop("disable_parallel_tool_use") and one == (claude or {"type": "auto"}))


def test_geminis_choice_of_tools_reaches_other_vendors():
    tools = [{"functionDeclarations": [{"name": name} for name in ("a", "b", "c")]}]
    for config, choice, names in (
        ({"mode": "any", "allowedFunctionNames": ["a", "b"]}, {"type": "any"}, ["a", "b"]),
        ({"mode": "VALIDATED", "allowed_function_names": ["a"]}, {"type": "auto"}, ["a"]),
        ({"mode": "ANY", "allowedFunctionNames": "a"}, {"type": "tool", "name": "a"}, ["a", "b", "c"]),
        ({"mode": "NONE"}, {"type": "none"}, ["a", "b", "c"]),
    ):
        body = anthropic_body(asked_by_gemini(tools=tools, toolConfig={"functionCallingConfig": config}))

        assert (body["tool_choice"], [tool["name"] for tool in body["tools"]]) == (choice, names)


def test_anthropic_is_sent_no_blank_texts_and_schemas_with_a_type():
    """Clients send `content: ""` beside calls, and turns of blanks; Anthropic refuses both."""
    said = {**called("{}"), "content": ""}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}  # as Mistral gives it, to itself
    blank = {"role": "assistant", "content": [thought, {"type": "text", "text": "\n"}]}
    tools = [{"function": {"name": "weather", "parameters": {"properties": {}}}}]
    answered = {"role": "tool", "tool_call_id": "c1", "content": "7"}
    body = anthropic_body(asked_by_openai(said, answered, blank, *HELLO, tools=tools))

    kinds = [[block["type"] for block in m["content"]] for m in body["messages"][1:]]
    assert kinds == [["tool_use"], ["tool_result", "text"]]
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


def test_ids_and_pictures_of_results_suit_anthropic():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    answered = {
        "role": "tool",
        "tool_call_id": "functions.weather:0",
        "content": [{"type": "text", "text": "7"}, picture],
    }
    turns = anthropic_body(asked_by_openai(called("{}", "functions.weather:0"), answered))["messages"]

    assert turns[1]["content"][0]["id"] == turns[2]["content"][0]["tool_use_id"]
    assert turns[1]["content"][0]["id"].startswith("functions_weather_0")
    assert [block["type"] for block in turns[2]["content"][0]["content"]] == ["text", "image"]


# Pieces of the OpenAI wire


def piece(index: Any = None, call_id: Any = None, name: Any = None, arguments: Any = None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    entry = {"index": index, "id": call_id, "function": {k: v for k, v in function.items() if v is not None}}
    return {name: value for name, value in entry.items() if value is not None}


AB = [("a", "w", '{"c":1}'), ("b", "n", '{"d":2}')]


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        ([[piece(0, "a", "w", "")], [piece(0, None, None, '{"c":')], [piece(0, None, None, "1}")], [piece(1, "b", "n", '{"d":2}')]], AB),
        ([[piece(0, "a", "w", '{"c":1}')], [piece(0, "b", "n", '{"d":')], [piece(0, None, None, "2}")]], AB),
        ([[piece(None, "a", "w", '{"c":1}')], [piece(None, "b", "n", '{"d":')], [piece(None, None, None, "2}")]], AB),
        ([[piece(None, "a", "w", '{"c":')], [piece(None, "b", "n", '{"d":')], [piece(None, "a", None, "1}")], [piece(None, "b", None, "2}")]], AB),
        ([[piece(0, "a", "w", '{"c":1}'), piece(0, "b", "n", '{"d":2}')]], AB),
        ([[piece(None, "a", "w", '{"c":1}'), piece(None, "b", "n", '{"d":2}')]], AB),
        ([[piece(0, "a", "w", {"c": 1})], [piece(0, "b", "n", '{"d":2}')]], [("a", "w", '{"c": 1}'), AB[1]]),
        ([[piece(0, None, "w", '{"c":1}')], [piece(0, None, "w", '{"c":1}')]], [("", "w", '{"c":1}')] * 2),
        ([[piece(None, None, "w", '{"c":1}')], [piece(None, None, "w", '{"c":1}')]], [("", "w", '{"c":1}')] * 2),
        ([[piece(None, None, "w", '{"c":1}'), piece(None, None, "w", '{"c":1}')]], [("", "w", '{"c":1}')] * 2),
        ([[piece(0, "x", "w", '{"c":')], [piece(1, "x", "n", '{"d"')], [piece(0, None, None, "1}")], [piece(1, None, None, ":2}")]], [("x", "w", '{"c":1}'), ("x", "n", '{"d":2}')]),
        ([[piece(0, "x", "w", '{"c":1}')], [piece(0, "x", "n", '{"d":2}')]], [("x", "w", '{"c":1}'), ("x", "n", '{"d":2}')]),
        ([[piece(0, None, "w", "")], [piece(0, "a", None, '{"c":1}')]], [AB[0]]),
        ([[piece(0, "a", "get_", "")], [piece(0, None, "weather")], [piece(0, None, None, "{}")]], [("a", "get_weather", "{}")]),
        ([[piece(0, "a", None, '{"c":')], [piece(0, None, None, "1}")], [piece(0, None, "w")]], [AB[0]]),
        ([[piece(0, "a", "w", '{"c":')], [piece(0, "a", "w", "1}")], [piece(0, "a", "w", "")]], [AB[0]]),
        ([[piece(0, 7, "w", '{"c":1}')]], [("7", "w", '{"c":1}')]),
        ([[{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": 'ls "'}}], [{"index": 0, "custom": {"input": 'x"'}}]], [("a", "sh", '{"input": "ls \\"x\\""}')]),
        ([[None, "x", {"index": "0"}, {"function": None}]], [("", "", ""), ("", "", "")][:1]),
    ],
)  # fmt: skip
def test_pieces_of_calls_are_put_together(deltas: list[Any], calls: list[Any]):
    reader, found = CallReader(), {}  # type: ignore[var-annotated]
    for tool in [*(tool for delta in deltas for tool in reader.read(delta, is_whole=False)), *reader.end(is_cut=False)]:
        call = found.setdefault(tool.index, ["", "", ""])
        call[:] = call[0] or tool.id, call[1] + tool.name, call[2] + tool.arguments

    assert [tuple(call) for call in found.values()] == calls


def leaf(path: str, *, more: bool = False, **value: Any) -> dict[str, Any]:
    return {"jsonPath": path, **value, **({"willContinue": True} if more else {})}


NAME = {"name": "w", "id": "a", "willContinue": True}


@pytest.mark.parametrize(
    ("calls", "finish", "arguments"),
    [
        ([NAME, {"partialArgs": [leaf("$.city", stringValue="K\ud83d", more=True)], "willContinue": True}, {"partialArgs": [leaf("$.city", stringValue="\ude00", more=True)], "willContinue": True}, {"partialArgs": [leaf("$.city", stringValue="", more=False)], "willContinue": True}, {}], "STOP", ['{"city": "K😀"}']),
        ([{**NAME, "partialArgs": [leaf("$.n", numberValue=5), leaf("$.ok", boolValue=False), leaf("$.no", nullValue="NULL_VALUE")]}, {"willContinue": False}], "STOP", ['{"n": 5, "ok": false, "no": null}']),
        ([NAME, {"partialArgs": [leaf("$.q[0].o[0]['a b']", stringValue="x"), leaf("$.q[0].o[1]", numberValue=1.5), leaf('$.q[1]["c.d"]', stringValue="y")]}], "STOP", ['{"q": [{"o": [{"a b": "x"}, 1.5]}, {"c.d": "y"}]}']),
        ([NAME, {}, {"name": "v", "args": {"b": 1}}, {**NAME, "willContinue": False, "partialArgs": [leaf("$.c", stringValue="z")]}], "STOP", ["{}", '{"b": 1}', '{"c": "z"}']),
        ([NAME, {"partialArgs": [leaf("$.city", stringValue="K", more=True)], "willContinue": True}], "MAX_TOKENS", ['{"city": "K"']),
        ([NAME], "MAX_TOKENS", ["{"]),
        ([NAME, {"partialArgs": [leaf("$.a", stringValue="x")], "willContinue": True}, {"name": "v", "args": {}}], "STOP", ['{"a": "x"', "{}"]),
        *(([NAME, {"partialArgs": [odd]}], "STOP", [json.dumps([odd])]) for odd in (leaf("$", stringValue="x"), leaf("$..a", stringValue="x"), leaf("$[0]", numberValue=1), leaf("$.a[7]", numberValue=1), leaf("$.a"), {"jsonPath": 5}, "x")),
    ],
)  # fmt: skip
def test_arguments_that_gemini_streams_one_by_one_are_put_together(calls: list[Any], finish: str, arguments: list[str]):
    values = [{"candidates": [{"content": {"parts": [{"functionCall": call}]}}]} for call in calls]
    values.append({"candidates": [{"finishReason": finish}]})
    reader, found = Reader(), {}  # type: ignore[var-annotated]
    for tool in [tool for value in values for tool in reader.read([value]).tools]:
        found[tool.index] = found.get(tool.index, "") + tool.arguments

    assert [mended(text) for text in found.values()] == arguments


# Answers


def claude_tools(*pieces: str, stop: str, ends: bool = True) -> Reply:
    """One call of a tool, whose arguments come in pieces, if any do."""
    block = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}
    events: list[Any] = [{"type": "content_block_start", "index": 1, "content_block": block}]
    events += [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": text}}
        for text in pieces
    ]
    events += [{"type": "content_block_stop", "index": 1}] if ends else []
    events.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 5}})
    return Reply(events=[anthropic_answer("").events[0], *((e["type"], e) for e in events)])


def gpt_tools(arguments: Any, finish: str) -> Reply:
    reply = openai_tools(("a", "weather", "{}"))
    events = [event for _, event in reply.events[:-1]]
    events[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] = arguments
    events[1]["choices"][0]["delta"] = {}
    events[2]["choices"][0]["finish_reason"] = finish
    return Reply(events=[("", event) for event in events])


def by_gemini(served: Running, model: str, *, streamed: bool = True) -> tuple[list[Any], str]:
    """(arguments of each call, finish reason)"""
    action = "streamGenerateContent?alt=sse" if streamed else "generateContent"
    body = served.post(f"/gemini/v1beta/models/{model}:{action}", {"contents": [{"parts": [{"text": "Hi"}]}]}).body
    values = [json.loads(line[6:]) for line in body.split(b"\r\n") if line.startswith(b"data: ")] or [json.loads(body)]
    parts = [part for value in values for part in value["candidates"][0]["content"]["parts"]]
    return [p["functionCall"]["args"] for p in parts if "functionCall" in p], values[-1]["candidates"][0][
        "finishReason"
    ]


@pytest.mark.parametrize("model", [GPT, LLAMA])
def test_arguments_for_geminis_clients_are_the_models_or_none_at_all(served: Running, model: str):
    cases = [(text, "tool_calls", [meant], "STOP") for text, meant in [*READABLE, ({"a": 1}, {"a": 1})]]
    cases += [(text, "tool_calls", [], "MALFORMED_FUNCTION_CALL") for text in [*UNREADABLE, [1]]]
    cases += [(text, "length", [], "MAX_TOKENS") for text in ("", '{"city": "Kö')]
    cases += [
        ('{"a": 1}', "stop", [{"a": 1}], "STOP"),
        *((text, "stop", [], "MALFORMED_FUNCTION_CALL") for text in ("[1]", '{"a": "K')),
    ]
    for arguments, finish, meant, ended in cases:
        for streamed in (True, False) if isinstance(arguments, str) else (True,):
            served.vendor.next(gpt_tools(arguments, finish))

            assert by_gemini(served, model, streamed=streamed) == (meant, ended), (arguments, finish, streamed)


@pytest.mark.parametrize(
    ("pieces", "stop", "ends", "written", "args", "finish"),
    [
        (['{"a"', ": 1}"], "tool_use", True, '{"a": 1}', [{"a": 1}], ("tool_calls", "STOP")),
        ([], "tool_use", True, "{}", [{}], ("tool_calls", "STOP")),
        ([""], "tool_use", False, "{}", [{}], ("tool_calls", "STOP")),
        (['{"a"'], "max_tokens", True, '{"a"', [], ("length", "MAX_TOKENS")),
        ([], "max_tokens", True, "", [], ("length", "MAX_TOKENS")),
        ([""], "max_tokens", False, "", [], ("length", "MAX_TOKENS")),
        (["{'a': 1}"], "tool_use", True, "{'a': 1}", [], ("tool_calls", "MALFORMED_FUNCTION_CALL")),
    ],
)
def test_claudes_arguments(served: Running, pieces: Any, stop: str, ends: bool, written: str, args: Any, finish: Any):
    served.vendor.next(*[claude_tools(*pieces, stop=stop, ends=ends)] * 2)

    chunks = [c.choices[0] for c in served.stream(CLAUDE, HELLO) if c.choices]

    deltas = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
    assert "".join(call.function.arguments or "" for call in deltas) == written
    assert chunks[-1].finish_reason == finish[0]
    assert served.row().tool_calls[0].arguments == written
    assert by_gemini(served, CLAUDE) == (args, finish[1])


def test_a_call_that_was_cut_is_not_made_and_those_before_it_are(served: Running):
    served.vendor.next(openai_tools(("a", "weather", '{"city": "Köln"}'), ("b", "weather", "{}")))
    served.vendor._queue[0].events[-3][1]["choices"][0]["finish_reason"] = "length"
    served.vendor._queue[0].events[3][1]["choices"][0]["delta"] = {}
    served.vendor._queue[0].events[2][1]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] = ""

    assert by_gemini(served, GPT) == ([{"city": "Köln"}], "MAX_TOKENS")

    served.vendor.next(openai_tools(("a", "weather", '{"city": "Köln"}'), ("b", "weather", "{'city': 1}")))
    assert by_gemini(served, GPT) == ([{"city": "Köln"}], "MALFORMED_FUNCTION_CALL")


FAILED, CUT = ("", "error"), ("Hi", "length")


def ends(word: Any, text: str) -> dict[str, Reply | gemini_fake.Reply]:
    """An answer of each vendor that ends as it says, by model."""
    gpt, claude = openai_answer(text), anthropic_answer(text)
    gpt.events[2][1]["choices"][0]["finish_reason"] = word
    next(event for name, event in claude.events if name == "message_delta")["delta"]["stop_reason"] = word
    counted = gemini_fake.usage(10, 5)
    return {GPT: gpt, CLAUDE: claude, FLASH: gemini_fake.Reply(events=[gemini_fake.event(text, finish=word, usage=counted)])}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "words", "with_text", "without"),
    [
        (FLASH, "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS MALFORMED_RESPONSE NO_IMAGE", FAILED, FAILED),
        (FLASH, "OTHER BRAND_NEW", CUT, FAILED),
        (FLASH, "SAFETY RECITATION LANGUAGE SPII IMAGE_SAFETY", ("Hi", "content_filter"), ("", "content_filter")),
        (CLAUDE, "pause_turn brand_new", CUT, FAILED),
        (CLAUDE, "refusal", ("Hi", "content_filter"), ("", "content_filter")),
        (CLAUDE, "end_turn", ("Hi", "stop"), ("", "stop")),
    ],
)  # fmt: skip
def test_an_answer_that_ended_badly_does_not_end_in_stop(
    served: Running, model: str, words: str, with_text: Any, without: Any
):
    for word, text in ((word, text) for word in words.split() for text in ("Hi", "")):
        said, finish = with_text if text else without
        (served.gemini if model == FLASH else served.vendor).next(*[ends(word, text)[model]] * 2)

        heard = served.post("/v1/chat/completions", {"model": model, "messages": HELLO})
        streamed = served.post(
            "/v1/chat/completions", {"model": model, "messages": HELLO, "stream": True}
        ).body.decode()

        if finish == "error":
            assert heard.status == 502 and word in heard.json["error"]["message"], word
            assert word in streamed and "[DONE]" not in streamed and '"finish_reason":"' not in streamed
            row = served.row()
            assert (row.status, row.text, row.n_attempts) == ("truncated" if text else "error", text, 1)
            assert row.usage.output_tokens == 5 and row.cost_status != "unknown"
        else:
            choice = heard.json["choices"][0]
            assert (choice["message"]["content"], choice["finish_reason"]) == (said, finish), word
            assert f'"finish_reason":"{finish}"' in streamed


def test_who_speaks_the_vendors_wire_reads_its_own_word(served: Running):
    for word, model, text, ended in (
        ("MALFORMED_FUNCTION_CALL", FLASH, "", "MALFORMED_FUNCTION_CALL"), ("OTHER", FLASH, "Hi", "OTHER"), ("NO_IMAGE", FLASH, "Hi", "NO_IMAGE"),
        ("eos", GPT, "Hi", "STOP"), ("model_length", GPT, "Hi", "MAX_TOKENS"), ("abort", GPT, "Hi", ""),
        ("brand_new", GPT, "Hi", "OTHER"), ("content-filter", GPT, "Hi", "SAFETY"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", GPT, "Hi", ""),
    ):  # fmt: skip
        for streamed in (True, False):
            (served.gemini if model == FLASH else served.vendor).next(ends(word, text)[model])
            action = "streamGenerateContent?alt=sse" if streamed else "generateContent"

            heard = served.post(f"/gemini/v1beta/models/{model}:{action}", {"contents": [{"parts": [{"text": "Hi"}]}]})

            assert (heard.status == 502) is (not ended and not streamed), word
            said = heard.body.decode().replace('": "', '":"')
            assert f'"finishReason":"{ended}"' in said if ended else word in said and "finishReason" not in said
            assert served.row().status == ("ok" if ended in ("STOP", "MAX_TOKENS", "OTHER") else "blocked" if ended == "SAFETY" else "truncated")  # fmt: skip


def test_another_model_answers_where_one_could_not_make_its_call_and_no_circuit_opens(served: Running):
    for _ in range(12):
        served.gemini.next(ends("MALFORMED_FUNCTION_CALL", "")[FLASH])
        given = {"model": FLASH, "messages": [{"role": "user", "content": f"Hello {_}"}], "fallbacks": [GPT]}
        heard = served.post("/v1/chat/completions", given)

        assert (heard.status, heard.headers["x-aimm-model"]) == (200, GPT)
    assert not served.mm.breakers.states()


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("arguments", ["{'a': 1}", '{"a": NaN}', '{"a": "K', ""])
def test_on_one_wire_bytes_are_handed_on(served: Running, arguments: str, streamed: bool):
    served.vendor.next(gpt_tools(arguments, "tool_calls"))

    body = served.post("/v1/chat/completions", {"model": GPT, "messages": HELLO, "stream": streamed}).body.decode()

    assert f'"arguments": {json.dumps(arguments)}' in body


def test_free_form_tools_and_functions_of_old_are_answered_in_kind(served: Running):
    """By a vendor that knows neither."""
    free = {
        "type": "custom",
        "custom": {
            "name": "shell",
            "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}},
        },
    }
    old = {"name": "weather", "parameters": {"type": "object"}}
    for streamed in (True, False):
        served.gemini.next(gemini_fake.Reply(events=[gemini_fake.tool_event(("shell", {"input": 'ls "x"'}, ""))]))
        given = {"model": FLASH, "messages": HELLO, "stream": streamed}
        body = served.post("/v1/chat/completions", {**given, "tools": [free]}).body.decode()
        assert '"type":"custom","custom":{"name":"shell","input":"ls \\"x\\""}' in body
        assert '"finish_reason":"tool_calls"' in body
        declared = served.gemini.requests[-1]["body"]["tools"][0]["functionDeclarations"][0]
        assert "start: x" in declared["description"]
        assert declared["parametersJsonSchema"]["required"] == ["input"]

        served.gemini.next(gemini_fake.Reply(events=[gemini_fake.tool_event(("weather", {"a": 1}, ""))]))
        body = served.post(
            "/v1/chat/completions", {**given, "functions": [old], "function_call": {"name": "weather"}}
        ).body.decode()
        assert '"function_call":{"name":"weather","arguments":"{\\"a\\": 1}"}' in body
        assert '"finish_reason":"function_call"' in body
        assert served.gemini.requests[-1]["body"]["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [
            "weather"
        ]
