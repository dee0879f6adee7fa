"""Requests of ours, read from the JSON of Responses.

A body that goes to OpenAI goes as it came, so nothing is refused here because it is new. What other vendors cannot be
told is noted: it is refused when one of them is to answer, if the caller relies on it, or else named as left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from api.gateway.names import model_of
from api.gateway.notes import Notes
from api.gateway.parts import kind_of, medium
from api.gateway.responses.tools import Tools
from core import InvalidRequest, Media, Message, Parameters, Request, ToolCall, ToolResult
from core.domain.generation import SERVICE_TIERS
from core.domain.message import Conversation, Part, Thought, paired, to_arguments, unsealed
from core.formats import strict_json as json

_READ = frozenset(
    "model input instructions stream temperature top_p max_output_tokens tools tool_choice parallel_tool_calls"
    " reasoning text include store previous_response_id user safety_identifier background".split()
)
_NEEDED = ("prompt", "conversation")  # what was asked for cannot be had without
_TIERS = {"default": "standard"}
_ENCRYPTED = "reasoning.encrypted_content"
_PAST_SEARCHES = ("web_search_call", "file_search_call")  # what they found is in the answer that followed


def items_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The input as items. Raises: InvalidRequest."""
    given = body.get("input")
    if given is None or isinstance(given, str):
        return [{"role": "user", "content": given}] if given else []
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise InvalidRequest("input must be a text or a list of items.")
    return given


def user(body: Mapping[str, Any]) -> str:
    """The one who asks."""
    found = body.get("safety_identifier") or body.get("user") or ""
    return found[:500] if isinstance(found, str) else ""


def response(body: dict[str, Any], meant: Conversation) -> Request:
    """The request that a body makes. meant: Its input with all that it refers to. Raises: InvalidRequest."""
    return _Reader(body, meant).request()


class _Reader:
    """Reads one body, and collects what other vendors cannot be told."""

    def __init__(self, body: dict[str, Any], meant: Conversation) -> None:
        self._body = body
        self._meant = meant
        self._tools = Tools(body)
        self._notes = Notes()
        self._notes.need(body, _NEEDED)
        self._notes.rest(body, _READ)
        self._only, self._ignored = self._notes.only, self._notes.ignored
        self._systems: list[str] = [text] if isinstance(text := body.get("instructions"), str) and text else []
        self._turns: list[tuple[Literal["user", "model", "system"], list[Part]]] = []
        self._signature = ""  # of the call that follows
        self._only_there = any(body.get(name) for name in _NEEDED)  # whether some of it only OpenAI can read

    def request(self) -> Request:
        body = self._body
        model = model_of(body)
        given = items_of(body)
        items = self._meant.items
        if items is None:
            self._only.append("what it refers to by id, which is not kept here")
        for at, item in enumerate(given if items is None else items):
            self._item(item, f"input[{at}]")
        turns = paired(_turn(role, tuple(parts)) for role, parts in self._turns)
        if not turns:  # nothing but instructions: other wires want a turn of the user
            turns = (Message("user", "\n\n".join(self._systems)),)
        system, parameters = "\n\n".join(self._systems) or None, self._parameters()
        choice = self._choice()
        return Request(
            model=model,
            messages=turns,
            system=system,
            parameters=parameters,
            tools=tuple(each.tool for each in self._tools.offered.values()),
            tool_choice=choice,
            is_one_call=body.get("parallel_tool_calls") is False,
            is_streamed=body.get("stream") is True,
            native=self._notes.native(
                "responses",
                body,
                parameters,
                system=system,
                whole=self._whole(given),
                kept_by=self._meant.kept_by,
                is_unread=bool(items is None or self._only_there),
            ),
        )

    def _whole(self, given: Sequence[Any]) -> dict[str, Any] | None:
        items = self._meant.items
        if items is None or (items == given and not self._meant.refers):
            return None
        return {**{k: v for k, v in self._body.items() if k != "previous_response_id"}, "input": items}

    # Items

    def _item(self, item: dict[str, Any], where: str) -> None:
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "message":
            self._message(item, where)
        elif kind in ("function_call", "custom_tool_call"):
            name = self._tools.flat_name(item.get("name"), item.get("namespace"))
            asked = {"input": item.get("input")} if kind == "custom_tool_call" else item.get("arguments")
            call_id, written = str(item.get("call_id") or item.get("id") or ""), to_arguments(asked) or "{}"
            self._add("model", [ToolCall(call_id, name, written, self._signature)])
            self._signature = ""
        elif kind in ("function_call_output", "custom_tool_call_output"):
            parts = self._parts(item.get("output"), f"{where}.output")
            text = "".join(part for part in parts if isinstance(part, str))
            media = tuple(part for part in parts if isinstance(part, Media))
            self._add("user", [ToolResult(str(item.get("call_id") or ""), "", text, media=media)])
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind in _PAST_SEARCHES:
            self._ignored.append(f"{where} of type {kind}")
        else:
            self._add("user", [self._notes.unknown(item, where)])  # so that it is counted

    def _message(self, item: dict[str, Any], where: str) -> None:
        role = item.get("role")
        parts = self._parts(item.get("content"), f"{where}.content")
        if role in ("system", "developer"):
            text = self._notes.text(parts, where)
            if not self._turns:
                self._systems += [text] if text else []
                return
            self._turns.append(("system", [text]))
            return
        if role not in ("user", "assistant"):
            self._only.append(f"{where} with the role {str(role)[:40]!r}")
        self._add("model" if role == "assistant" else "user", parts, joins=role == "assistant")

    def _add(self, role: Literal["user", "model"], parts: list[Part], *, joins: bool = True) -> None:
        """Add to a turn: calls that follow one another are of one, and so are their results."""
        if self._turns and self._turns[-1][0] == role and joins:
            self._turns[-1][1].extend(parts)
        else:
            self._turns.append((role, list(parts)))

    def _reasoning(self, item: dict[str, Any]) -> None:
        found = unsealed(item.get("encrypted_content"))
        if isinstance(found, Thought):
            self._add("model", [found])
        elif found:
            self._signature = found

    def _parts(self, content: Any, where: str) -> list[Part]:
        if content is None or isinstance(content, str):
            return [content] if content else []
        if not isinstance(content, list):
            raise InvalidRequest(f"{where} must be a text or a list of parts.")
        return [self._part(part, f"{where}[{at}]") for at, part in enumerate(content)]

    def _part(self, part: Any, where: str) -> Part:
        if not isinstance(part, dict):
            raise InvalidRequest(f"{where} must be an object.")
        kind = str(part.get("type"))
        text = part.get("refusal" if kind == "refusal" else "text")
        if kind in ("input_text", "output_text", "text", "refusal", "summary_text") and isinstance(text, str):
            return text
        found = None
        if kind == "input_image":
            found = medium(part.get("image_url"), "image/jpeg", str(part.get("detail") or ""))
        elif kind == "input_file":
            usual, given = kind_of(str(part.get("filename") or "")), part.get("file_data") or part.get("file_url")
            usual = usual or "application/pdf"
            found = medium(given, usual)
            if found is None and isinstance(given, str) and given and not usual.startswith("image/"):
                found = Media(usual, data=given)
        elif kind == "input_audio" and isinstance(sound := part.get("input_audio"), dict) and sound.get("data"):
            found = Media(f"audio/{sound.get('format') or 'wav'}", data=str(sound["data"]))
        if found is None:
            self._only_there = self._only_there or bool(part.get("file_id"))
            self._only.append(f"{where} of type {kind[:60]!r}{' by file_id' if part.get('file_id') else ''}")
            return json.dumps(part, ensure_ascii=False)  # so that it is counted
        return found

    # Tools and parameters

    def _choice(self) -> str:
        """The choice of tools; what runs at OpenAI is left out by name unless it is the one that must be called."""
        given = self._body.get("tool_choice") or ""
        for tool in self._tools.others:
            kind = str(tool.get("type"))[:60]
            is_offer = kind.startswith("web_search") or kind in ("tool_search", "programmatic_tool_calling")
            (self._ignored if is_offer else self._only).append(f"the tool {kind}")
        if isinstance(given, str):
            return given
        wanted = given.get("type") if isinstance(given, dict) else None
        if wanted in ("function", "custom"):
            return f"tool:{self._tools.flat_name(given.get('name'), given.get('namespace'))}"
        if wanted == "allowed_tools" and isinstance(given.get("tools"), list):
            allowed = {
                self._tools.flat_name(t.get("name"), t.get("namespace")) for t in given["tools"] if isinstance(t, dict)
            }
            self._tools.offered = {name: each for name, each in self._tools.offered.items() if name in allowed}
            return str(given.get("mode") or "auto")
        self._only.append(f"tool_choice {str(wanted)[:60]}")
        return ""

    def _parameters(self) -> Parameters:
        body = self._body
        reasoning, shape = (
            value if isinstance(value := body.get(name), dict) else {} for name in ("reasoning", "text")
        )
        form = asked if isinstance(asked := shape.get("format"), dict) else {}
        said = str(body.get("service_tier") or "")
        tier, schema = _TIERS.get(said, said), form.get("schema")
        if shape.get("verbosity"):
            self._ignored.append("text.verbosity")
        included = body.get("include")
        self._ignored += (
            [f"include {each}" for each in included or () if each != _ENCRYPTED] if isinstance(included, list) else []
        )
        if tier in SERVICE_TIERS:
            self._ignored.remove("service_tier")
        is_shaped = form.get("type") == "json_schema"
        if is_shaped and not isinstance(schema, dict):
            self._only.append("text.format of type json_schema without a schema")
        return self._notes.parameters({
            "temperature": ("temperature", body.get("temperature")),
            "top_p": ("top_p", body.get("top_p")),
            "max_tokens": ("max_output_tokens", body.get("max_output_tokens")),
            "thinking_level": ("reasoning.effort", reasoning.get("effort") or None),
            "service_tier": ("service_tier", tier if tier in SERVICE_TIERS else None),
            "json_schema": ("text.format", schema if is_shaped and isinstance(schema, dict) else None),
            "json_object": ("text.format", True if form.get("type") == "json_object" else None),
        })  # fmt: skip


def _turn(role: Literal["user", "model", "system"], parts: tuple[Part, ...]) -> Message:
    """A turn; an instruction in the midst of a conversation stands where it was given."""
    return replace(Message.of("model" if role == "model" else "user", parts), is_system=role == "system")
