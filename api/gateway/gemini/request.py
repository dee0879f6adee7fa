"""Requests of ours, read from Gemini's JSON."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from core import InvalidRequest, Media, Message, Native, Parameters, Request, Tool, ToolCall, ToolResult
from core.domain.generation import SERVICE_TIERS, THINKING_LEVELS
from core.domain.message import Part, paired, to_arguments
from core.formats.text import as_list

_ALPHABET = str.maketrans("-_", "+/")
_CHOICES = {"AUTO": "auto", "VALIDATED": "auto", "NONE": "none", "ANY": "required"}


def content(model: str, body: dict[str, Any], *, is_streamed: bool) -> Request:
    """Raises: InvalidRequest."""
    messages = _turns(body.get("contents"))
    system = _system(_said(body, "systemInstruction"))
    parameters = _parameters(body)
    if problem := parameters.problem():
        raise InvalidRequest(problem)
    tools, is_plain = _tools(body.get("tools"))
    choice, allowed = _tool_choice(_said(body, "toolConfig"))
    return Request(
        model=model,
        messages=messages,
        system=system,
        parameters=parameters,
        tools=tuple(tool for tool in tools if not allowed or tool.name in allowed),
        tool_choice=choice if is_plain else "",
        is_streamed=is_streamed,
        native=Native(wire="gemini", body=body, parameters=parameters, system=system),
    )


def _said(body: Mapping[str, Any], name: str) -> Any:
    """A field in either of its spellings: maxOutputTokens or max_output_tokens."""
    value = body.get(name)
    return body.get(_snake(name)) if value is None else value


@cache
def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", name)


def _turns(given: Any) -> tuple[Message, ...]:
    contents = [given] if isinstance(given, dict) else given
    if not isinstance(contents, list) or not contents:
        raise InvalidRequest("contents must be a list of turns.")
    turns = []
    for turn in contents:
        parts = turn.get("parts") if isinstance(turn, dict) else None
        parts = [parts] if isinstance(parts, dict) else parts
        if not isinstance(parts, list):
            raise InvalidRequest("Each of contents must have parts.")
        role: Literal["user", "model"] = "model" if turn.get("role") == "model" else "user"
        turns.append(Message.of(role, tuple(part for each in parts for part in _parts(each))))
    return paired(turns)


def _parts(given: Any) -> tuple[Part, ...]:
    """The content of a part; nothing where only Gemini reads it, such as its own thoughts."""
    if not isinstance(given, dict):
        raise InvalidRequest("A part must be an object.")
    if given.get("thought"):
        return ()
    if isinstance(given.get("text"), str):
        return (str(given["text"]),)
    data, file = _said(given, "inlineData"), _said(given, "fileData")
    if isinstance(data, dict):
        return (Media(str(_said(data, "mimeType") or ""), data=_standard(str(data.get("data") or ""))),)
    if isinstance(file, dict):
        return (Media(str(_said(file, "mimeType") or ""), url=str(_said(file, "fileUri"))),)
    called = _said(given, "functionCall")
    if isinstance(called, dict):
        name, arguments = str(called.get("name") or ""), to_arguments(called.get("args")) or "{}"
        signature = str(_said(given, "thoughtSignature") or "")
        return (ToolCall(str(called.get("id") or ""), name, arguments, signature),)
    result = _said(given, "functionResponse")
    return _result(result) if isinstance(result, dict) else ()


def _result(given: Mapping[str, Any]) -> tuple[Part, ...]:
    """A result, and the media in it.

    Gemini reads `output` (and SDKs write `result`) as the result of a tool, `error` as its failure.
    """
    inner, only = given.get("response"), ""
    if isinstance(inner, dict) and len(inner) == 1 and inner.keys() & {"result", "output", "error"}:
        [(only, inner)] = inner.items()
    result = ToolResult(
        str(given.get("id") or ""), str(given.get("name") or ""), to_arguments(inner), is_error=only == "error"
    )
    media = given.get("parts")
    return (result, *(part for each in (media if isinstance(media, list) else ()) for part in _parts(each)))


def _standard(text: str) -> str:
    """Base64 as all others write it: google-genai sends the alphabet of addresses."""
    text = text.translate(_ALPHABET).rstrip("=")
    return text + "=" * (-len(text) % 4)


def _system(given: Any) -> str | None:
    if isinstance(given, str):
        return given or None
    parts = given.get("parts") if isinstance(given, dict) else None
    parts = [parts] if isinstance(parts, dict) else parts
    read = parts if isinstance(parts, list) else ()
    texts = [str(part.get("text") or "") for part in read if isinstance(part, dict)]
    return "\n\n".join(text for text in texts if text) or None


def _tools(given: Any) -> tuple[tuple[Tool, ...], bool]:
    """(functions, whether there is nothing else): search and code are Gemini's own."""
    found, is_plain = [], True
    for each in as_list(given):
        declared = _said(each, "functionDeclarations") if isinstance(each, dict) else None
        declared = [declared] if isinstance(declared, dict) else declared
        if not isinstance(declared, list):
            is_plain = False
            continue
        for function in declared:
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):
                raise InvalidRequest("A function declaration needs a name.")
            schema = _said(function, "parametersJsonSchema")
            schema = schema or _lower(function.get("parameters")) or {}
            description = str(function.get("description") or "")
            found.append(Tool(name=function["name"], description=description, parameters=schema))
    return tuple(found), is_plain


def _lower(schema: Any) -> Any:
    """Gemini's own schemas name types in capitals; JSON Schema in small letters."""
    if isinstance(schema, list):
        return [_lower(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else _lower(value)
        for name, value in schema.items()
    }


def _tool_choice(given: Any) -> tuple[str, tuple[Any, ...]]:
    """(the choice, the names of the tools that alone may be called; empty = all)."""
    config = _said(given, "functionCallingConfig") if isinstance(given, dict) else None
    if not isinstance(config, dict):
        return "", ()
    allowed = as_list(_said(config, "allowedFunctionNames"))
    mode = str(config.get("mode") or "").upper()
    if mode == "ANY" and len(allowed) == 1:
        return f"tool:{allowed[0]}", ()
    return _CHOICES.get(mode, ""), allowed


def _parameters(body: Mapping[str, Any]) -> Parameters:
    config = _said(body, "generationConfig") or {}
    if not isinstance(config, dict):
        raise InvalidRequest("generationConfig must be an object.")
    if (n := _said(config, "candidateCount")) not in (None, 1):
        raise InvalidRequest(f"candidateCount == {n!r}, must be 1.")
    thinking = _said(config, "thinkingConfig") or {}
    if not isinstance(thinking, dict):
        raise InvalidRequest("thinkingConfig must be an object.")
    level = str(_said(thinking, "thinkingLevel") or "").lower()
    schemas = (
        _said(config, "responseJsonSchema"),
        config.get("_responseJsonSchema"),
        _lower(_said(config, "responseSchema")),
    )
    schema = next((each for each in schemas if each is not None), None)
    is_json = schema is None and _said(config, "responseMimeType") == "application/json"
    tier = str(_said(body, "serviceTier") or "")
    return Parameters(
        temperature=config.get("temperature"),
        top_p=_said(config, "topP"),
        max_tokens=_said(config, "maxOutputTokens"),
        seed=config.get("seed"),
        thinking_budget=_said(thinking, "thinkingBudget"),
        thinking_level=level if level in THINKING_LEVELS else None,
        service_tier=tier if tier in SERVICE_TIERS else None,
        json_schema=schema if isinstance(schema, dict) else None,
        json_object=is_json or None,
        stop=_said(config, "stopSequences"),
        frequency_penalty=_said(config, "frequencyPenalty"),
        presence_penalty=_said(config, "presencePenalty"),
    )
