"""A request as JSON, whole: model, system prompt, parameters, tools, and each turn with all that is in it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from core.domain.generation import Message, Parameters, Request
from core.domain.message import Media, Part, Tool, ToolCall, ToolResult
from core.errors import InvalidRequest
from core.formats import strict_json as json

_KINDS: dict[str, type[Media] | type[ToolCall] | type[ToolResult]] = {
    "media": Media, "tool_call": ToolCall, "tool_result": ToolResult,
}  # fmt: skip


def to_json(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {
        "model": request.model,
        "system": request.system,
        "messages": [
            {"role": "system" if m.is_system else m.role, "content": [_part_to_json(part) for part in m.content]}
            for m in request.messages
        ],
        "parameters": request.parameters.as_dict(),
        "tools": [asdict(tool) for tool in request.tools],
        "tool_choice": request.tool_choice,
    }
    return {name: value for name, value in found.items() if value}


def from_json(text: str) -> Request:
    """The request that such a text holds.

    Raises:
        InvalidRequest: It is not JSON, or not a request.
    """
    try:
        given = json.loads(text)
        return Request(
            model=str(given["model"]),
            messages=tuple(_message(each) for each in given["messages"]),
            system=given.get("system"),
            parameters=Parameters(**given.get("parameters", {})),
            tools=tuple(Tool(**each) for each in given.get("tools", ())),
            tool_choice=str(given.get("tool_choice", "")),
        )
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The request is not JSON: {error}.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            f"The request cannot be read: {type(error).__name__} {error}.",
            hint='It looks like {"model": "…", "messages": [{"role": "user", "content": ["…"]}]}.',
        ) from error


def _message(given: Mapping[str, Any]) -> Message:
    role, content = given["role"], given["content"]
    if role not in ("user", "model", "system"):
        raise InvalidRequest(f"role == {role!r}, must be user, model or system")
    parts = [content] if isinstance(content, str) else content
    turn = Message.of("model" if role == "model" else "user", tuple(_part_from_json(part) for part in parts))
    return replace(turn, is_system=role == "system")


def _part_to_json(part: Part) -> Any:
    if isinstance(part, str):
        return part
    kind = next(name for name, made in _KINDS.items() if isinstance(part, made))
    return {kind: asdict(part)}


def _part_from_json(given: Any) -> Part:
    if isinstance(given, str):
        return given
    ((kind, fields),) = given.items()
    media = {"media": tuple(Media(**each) for each in fields["media"])} if "media" in fields else {}
    return _KINDS[kind](**{**fields, **media})
