"""Requests of ours, read from OpenAI's JSON."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from api.gateway.names import model_of
from core import InvalidRequest, Media, Message, Native, Parameters, Request, Tool, ToolCall, ToolResult
from core.domain.generation import SERVICE_TIERS, THINKING_LEVELS
from core.domain.message import Part, paired, to_arguments
from core.formats.text import as_list

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=-]+)*;base64,", re.ASCII)
_TIERS = {"default": "standard", "flex": "flex", "priority": "priority", "batch": "batch", "fast": "fast"}
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
# Of ours, not of the vendor's: taken out before a body is passed on.
_OURS = ("fallbacks",)
_FREE = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def chat(body: dict[str, Any]) -> Request:
    """Raises: InvalidRequest."""
    messages, system = _turns(_list(body, "messages", least=1))
    if not messages:  # nothing but instructions: other wires want a turn of the user
        messages, system = (Message("user", system or ""),), None
    if body.get("n") not in (None, 1):
        raise InvalidRequest(f"n == {body['n']!r}, must be 1.")
    parameters = _parameters(body)
    if problem := parameters.problem():
        raise InvalidRequest(problem)
    choice, allowed = _tool_choice(body)
    return Request(
        model=model_of(body),
        messages=messages,
        system=system,
        parameters=parameters,
        tools=tuple(tool for tool in _tools(body) if not allowed or tool.name in allowed),
        tool_choice=choice,
        is_one_call=body.get("parallel_tool_calls") is False,
        is_streamed=body.get("stream") is True,
        native=_native(body, parameters, system),
    )


def embeddings(body: dict[str, Any]) -> Request:
    """Raises: InvalidRequest."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or len(texts) > 2048:
        raise InvalidRequest("input must be a text or a list of 1 to 2,048 texts.")
    if all(isinstance(each, int) for each in texts):
        texts = [texts]
    messages = []
    for each in texts:
        if isinstance(each, str) and each:
            messages.append(Message("user", each))
        elif isinstance(each, list) and each and all(isinstance(token, int) for token in each):
            messages.append(Message("user", " ".join(map(str, each))))  # tokens: only their own vendor reads them
        else:
            raise InvalidRequest("Each input must be a text that is not empty, or a list of tokens.")
    return Request(
        model=model_of(body),
        messages=tuple(messages),
        operation="embeddings",
        is_streamed=False,
        native=_native(body, Parameters()),
    )


def _native(body: Mapping[str, Any], parameters: Parameters, system: str | None = None) -> Native:
    """The part of a body that is passed on, with the models that it names: OpenRouter's own fallbacks.

    Raises:
        InvalidRequest
    """
    theirs = {name: value for name, value in body.items() if name not in _OURS}
    models = tuple(_texts(body, "models"))
    return Native(wire="openai", body=theirs, parameters=parameters, system=system, models=models)


def user(body: Mapping[str, Any]) -> str:
    """The one who asks. Raises: InvalidRequest."""
    found = body.get("user") or body.get("safety_identifier") or ""
    if not isinstance(found, str) or len(found) > 500:
        raise InvalidRequest("user must be a text of at most 500 characters.")
    return found


def fallbacks(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The models to ask where the first one fails. Raises: InvalidRequest."""
    return tuple(_texts(body, "fallbacks"))


def _list(body: Mapping[str, Any], name: str, *, least: int = 0) -> list[Any]:
    value = body.get(name)
    if not isinstance(value, list) or len(value) < least or not all(isinstance(each, dict) for each in value):
        raise InvalidRequest(f"{name} must be a list of at least {least} objects.")
    return value


def _texts(body: Mapping[str, Any], name: str) -> list[str]:
    value = list(as_list(body.get(name)))
    if not all(isinstance(each, str) for each in value):
        raise InvalidRequest(f"{name} must be a list of texts.")
    return value


def _turns(given: list[dict[str, Any]]) -> tuple[tuple[Message, ...], str | None]:
    systems: list[str] = []
    turns: list[Message] = []
    for message in given:
        role = message.get("role")
        if role in ("system", "developer"):
            systems.append("".join(part for part in _parts(message.get("content")) if isinstance(part, str)))
        elif role in ("tool", "function"):
            result = _result(message)
            if turns and turns[-1].role == "user" and any(isinstance(p, ToolResult) for p in turns[-1].parts):
                turns[-1] = Message.of("user", (*turns[-1].parts, *result))
            else:
                turns.append(Message.of("user", result))
        elif role in ("user", "assistant"):
            side: Literal["user", "model"] = "user" if role == "user" else "model"
            parts = [*_parts(message.get("content")), *_calls(message)]
            turns.append(Message.of(side, tuple(parts)))
        else:
            raise InvalidRequest(f"role == {role!r}, must be system, developer, user, assistant, tool or function.")
    if not systems and not any(turn.role == "user" for turn in turns):
        raise InvalidRequest("messages must hold a message of the user.")
    system = "\n\n".join(systems)
    return paired(turns), system or None


def _parts(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise InvalidRequest("content must be a text or a list of parts.")
    # A model's own thoughts, which some servers give and take back as parts, are for its own wire.
    return [_part(part) for part in content if not (isinstance(part, dict) and part.get("type") in _THOUGHTS)]


def _part(part: Any) -> Part:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal") and isinstance(part.get(kind), str):
        return str(part[kind])
    inner = part.get(kind) if isinstance(part, dict) and isinstance(kind, str) else None
    if kind == "image_url" and isinstance(inner, dict) and isinstance(inner.get("url"), str):
        return _image(inner["url"], str(inner.get("detail") or ""))
    if kind == "input_audio" and isinstance(inner, dict) and isinstance(inner.get("data"), str):
        return Media(f"audio/{inner.get('format') or 'wav'}", data=inner["data"])
    if kind == "file" and isinstance(inner, dict):
        data = str(inner.get("file_data") or "")
        return _image(data, "") if data else Media("application/pdf", url=str(inner.get("file_id") or ""))
    raise InvalidRequest(f"A part of type {kind!r} cannot be read; text, image_url, input_audio and file are taken.")


def _image(url: str, detail: str) -> Media:
    found = _DATA_URL.match(url)
    if found:
        return Media(found[1], data=url[found.end() :], detail=detail)
    if not url.startswith(("https://", "http://")):
        raise InvalidRequest("An image must be a data URL (data:image/png;base64,…) or an https address.")
    ending = url.partition("?")[0].rpartition(".")[2].lower()
    kinds = {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "pdf": "application/pdf"}
    return Media(kinds.get(ending, "image/jpeg"), url=url, detail=detail)


def _calls(message: Mapping[str, Any]) -> list[ToolCall]:
    given = message.get("tool_calls")
    if given is not None and not isinstance(given, list):
        raise InvalidRequest("tool_calls must be a list.")
    called = message.get("function_call")
    found = []
    for call in (*(given or ()), *([{"function": called}] if isinstance(called, dict) else ())):
        function, is_custom = _function(call, "tool_calls")
        extra = call.get("extra_content")
        google = extra.get("google") if isinstance(extra, dict) else None
        signed = google.get("thought_signature") if isinstance(google, dict) else None
        arguments = {"input": function.get("input")} if is_custom else function.get("arguments")
        call_id, written = str(call.get("id") or ""), to_arguments(arguments) or "{}"
        found.append(ToolCall(call_id, function["name"], written, signature=str(signed or "")))
    return found


def _function(given: Any, where: str) -> tuple[dict[str, Any], bool]:
    """(a function or a free-form tool, whether it is the latter). Raises: InvalidRequest: It is neither."""
    for kind in ("function", "custom"):
        inner = given.get(kind) if isinstance(given, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            return inner, kind == "custom"
    raise InvalidRequest(f"{where} must hold functions or custom tools, each with a name.")


def _result(message: Mapping[str, Any]) -> tuple[Part, ...]:
    """A result, and the pictures in it: only some vendors take them within."""
    call_id = str(message.get("tool_call_id") or "")
    parts = _parts(message.get("content"))
    text = "".join(part for part in parts if isinstance(part, str))
    result = ToolResult(call_id, str(message.get("name") or ""), text)
    return (result, *(part for part in parts if isinstance(part, Media)))


def _tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The tools, or what were once called functions."""
    given, functions = body.get("tools"), body.get("functions")
    if not given and isinstance(functions, list):
        given = [{"function": each} for each in functions]
    if given is None:
        return ()
    if not isinstance(given, list):
        raise InvalidRequest("tools must be a list.")
    found = []
    for each in given:
        function, is_custom = _function(each, "tools")
        schema = _FREE if is_custom else function.get("parameters")
        found.append(
            Tool(
                name=function["name"],
                description=str(function.get("description") or "") + _grammar(function.get("format")),
                parameters=schema if isinstance(schema, dict) else {},
                is_custom=is_custom,
            )
        )
    return tuple(found)


def _grammar(shape: Any) -> str:
    """The grammar of a free-form tool, as its description tells it to vendors that know none."""
    grammar = shape.get("grammar") if isinstance(shape, dict) else None
    if not isinstance(grammar, dict):
        return ""
    return f"\n\nThe input must follow this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"


def _tool_choice(body: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """(the choice, the names of the tools that alone may be called; empty = all).

    Some clients write `any`, or `{"type": "auto"}`.
    """
    given = body.get("tool_choice") or body.get("function_call") or ""
    inner = given
    if isinstance(given, dict):
        inner = next((given[kind] for kind in ("function", "custom", "allowed_tools") if given.get(kind)), given)
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        return f"tool:{inner['name']}", []
    if isinstance(inner, dict) and isinstance(inner.get("tools"), list):
        return str(inner.get("mode") or "auto"), [_function(each, "tool_choice")[0]["name"] for each in inner["tools"]]
    word = inner.get("type") if isinstance(inner, dict) else inner
    return "required" if word == "any" else word if isinstance(word, str) else str(given)[:80], []


def _parameters(body: Mapping[str, Any]) -> Parameters:
    schema, is_json = None, None
    shape = body.get("response_format")
    if isinstance(shape, dict) and shape.get("type") == "json_schema":
        inner = shape.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, dict) else None
        if not isinstance(schema, dict):
            raise InvalidRequest("response_format.json_schema.schema must be an object.")
    elif isinstance(shape, dict) and shape.get("type") == "json_object":
        is_json = True
    effort, tier = body.get("reasoning_effort"), _TIERS.get(str(body.get("service_tier")))
    longest = body.get("max_completion_tokens")
    return Parameters(
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        max_tokens=body.get("max_tokens") if longest is None else longest,
        seed=body.get("seed"),
        thinking_budget=body.get("thinking_budget"),
        thinking_level=effort if effort in THINKING_LEVELS else None,
        service_tier=tier if tier in SERVICE_TIERS else None,
        json_schema=schema,
        json_object=is_json,
        stop=body.get("stop"),
        frequency_penalty=body.get("frequency_penalty"),
        presence_penalty=body.get("presence_penalty"),
    )
