"""Prompts as files: YAML or JSON with all that a version holds, or a text that is the user's turn. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from core.domain.evaluation.prompt import PromptContent, PromptMessage, PromptVersion
from core.domain.generation import named_parameters
from core.domain.message import Tool
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.formats import yaml_text

_KEYS = ("name", "note", "model", "system", "prompt", "messages", "parameters", "tools")


def read(text: str, filename: str) -> tuple[str, PromptContent, str]:
    """(the name that it says, or that of the file, the content, the note). Raises: InvalidRequest"""
    stem, _, ending = re.split(r"[/\\]", filename)[-1].rpartition(".")
    if ending in ("json", "yaml", "yml"):
        value = _parsed(text, ending)
        if isinstance(value, list):
            value = {"messages": value}
        if not isinstance(value, Mapping):
            raise InvalidRequest(f"{filename}: an object with `messages` or `prompt` is expected.")
        return str(value.get("name") or stem), content_of(value), str(value.get("note") or "")
    return stem or ending, PromptContent(messages=(PromptMessage("user", text.removesuffix("\n")),)), ""


def _parsed(text: str, ending: str) -> Any:
    if ending != "json":
        return yaml_text.typed(yaml_text.read(text))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"line {error.lineno}: this is not JSON: {error.msg}.") from None


def content_of(value: Mapping[str, Any]) -> PromptContent:
    """The content that an object says: `messages` with `role` and `content`, or `system` and `prompt`.

    Raises:
        InvalidRequest: A part is not what it must be; it is named.
    """
    for name in value:
        if name not in _KEYS:
            close = difflib.get_close_matches(name, _KEYS, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(_KEYS)}."
            raise InvalidRequest(f"{str(name)[:60]!r} is no part of a prompt.", hint=hint)
    turns = [{"role": "system", "content": value["system"]}] if value.get("system") else []
    turns += _list(value, "messages")
    turns += [{"role": "user", "content": value["prompt"]}] if value.get("prompt") else []
    model, parameters = value.get("model") or "", value.get("parameters") or {}
    if not isinstance(model, str) or not isinstance(parameters, Mapping):
        raise InvalidRequest("`model` must be a name, and `parameters` an object.")
    return PromptContent(
        messages=tuple(_turn(place, turn) for place, turn in enumerate(turns, 1)),
        model=model.strip(),
        parameters=named_parameters(parameters),
        tools=tuple(_tool(place, tool) for place, tool in enumerate(_list(value, "tools"), 1)),
    )


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    found = [] if value.get(name) is None else value[name]
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise InvalidRequest(f"`{name}` must be a list of objects.")
    return found


def _turn(place: int, turn: Mapping[str, Any]) -> PromptMessage:
    role, text = turn.get("role"), turn.get("content", turn.get("text"))
    if not isinstance(text, str):
        raise InvalidRequest(f"message {place} has no text as its `content`.")
    if role not in ("system", "developer", "user", "assistant"):
        raise InvalidRequest(f"message {place}: role == {str(role)[:40]!r}, must be system, user or assistant")
    return PromptMessage("system" if role == "developer" else role, text)


def _tool(place: int, tool: Mapping[str, Any]) -> Tool:
    """A tool as OpenAI writes it, or its inner part alone."""
    inner = tool.get("function", tool)
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(name, str) or not name:
        raise InvalidRequest(f"tool {place} has no `name`.")
    schema = inner.get("parameters") or {}
    if not isinstance(schema, Mapping):
        raise InvalidRequest(f"The `parameters` of the tool {name!r} must be an object.")
    return Tool(
        name=name,
        description=str(inner.get("description") or ""),
        parameters=schema,
        is_custom=inner.get("is_custom") is True,
        is_strict=inner.get("strict", inner.get("is_strict")) is True,
    )


def to_dict(content: PromptContent) -> dict[str, Any]:
    """The object that `content_of` reads."""
    told = content.as_dict()
    messages = [{"role": message.role, "content": message.text} for message in content.messages]
    return {name: told[name] for name in ("model", "parameters", "tools") if name in told} | {"messages": messages}


def written(version: PromptVersion) -> str:
    """A version as YAML that `read` gives back, for a repository or an editor."""
    note = {"note": version.note} if version.note else {}
    return yaml_text.dump({"name": version.prompt, **note, **to_dict(version.content)})


def difference(old: PromptVersion, new: PromptVersion) -> str:
    """The lines that differ between two versions, as `diff -u` shows them; empty = none."""
    before, after = (yaml_text.dump(to_dict(each.content)).splitlines() for each in (old, new))
    return "\n".join(difflib.unified_diff(before, after, old.ref, new.ref, lineterm=""))
