"""Requests and answers of OpenAI's Responses, for a caller of the same wire: the body as it came, its answer read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile
from typing import Any

from core.domain.generation import Chunk, FinishReason, Native, Parameters, Quota, Request, ToolDelta, Usage
from core.domain.message import Media, Message, Thought, ToolCall, ToolResult, from_foreign
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.providers.base import UNUSUAL, check_results, choice_of, joined, one_chunk, pictures_moved, tier_of
from core.providers.http.events import Event
from core.providers.openai.request import TIERS, call_id, to_function, with_word
from core.providers.openai.usage import to_usage
from core.providers.schemas import Unwrapper, is_closed, wrapped

_OUR_ID = re.compile(r"rs_[0-9a-f]+_\d+")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
# What OpenAI does itself during an answer; all but searches are charged in ways that the usage does not tell.
_SEARCH = "web_search_call"
_RUN_THERE = (
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "computer_call",
    "mcp_call",
    "shell_call",
)
_ENDS: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDING = ("response.completed", "response.incomplete", "response.failed")


# Of a body, what its count takes.
COUNTED = (
    "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "truncation",
    "previous_response_id", "conversation",
)  # fmt: skip


def to_body(request: Request) -> dict[str, Any]:
    """The body of a response, of which OpenAI keeps nothing."""
    request = with_word(request)
    turns = pictures_moved(request.messages)
    check_results(joined(turns))
    body: dict[str, Any] = {
        "model": request.model, "input": [item for turn in turns for item in _to_items(turn)], "store": False,
    }  # fmt: skip
    if request.system:
        body["instructions"] = request.system
    for word, value in _said(request.parameters).items():
        _put(body, _PATHS[word], value)
    if request.parameters.thinking_level not in (None, "none"):
        _put(body, "reasoning.summary", "auto")
    if request.is_streamed:
        body["stream"] = True
    if request.tools:
        body["tools"] = [{"type": "function", "strict": False, **to_function(tool)} for tool in request.tools]
        kind, name = choice_of(request)
        body |= {"tool_choice": {"type": "function", "name": name} if kind == "tool" else kind} if kind else {}
        body |= {"parallel_tool_calls": False} if request.is_one_call else {}
    return body


def _to_items(turn: Message) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for part in turn.content:
        if isinstance(part, ToolCall):
            call = {"call_id": call_id(part.id), "name": part.name, "arguments": part.arguments}
            items.append({"type": "function_call", **call})
        elif isinstance(part, ToolResult):
            output: Any = f"Error: {part.text}" if part.is_error else part.text
            if part.media:
                output = [_to_part(each) for each in (output, *part.media) if each]
            items.append({"type": "function_call_output", "call_id": call_id(part.call_id), "output": output})
        elif not isinstance(part, Thought):
            said.append(_to_part(part, "output_text" if turn.role == "model" else "input_text"))
    role = "assistant" if turn.role == "model" else "developer" if turn.is_system else "user"
    message = [{"role": role, "content": said or turn.text}] if said or not items else []
    return [*message, *items] if turn.role == "model" else [*items, *message]


def _to_part(part: str | Media, text: str = "input_text") -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": text, "text": part}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    if part.media_type.startswith("image/"):
        return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
    if part.media_type.startswith(("audio/", "video/")):
        raise InvalidRequest(f"OpenAI's Responses read texts, pictures and documents, and no {part.media_type}.")
    name = f"document.{_ENDINGS.get(part.media_type, 'pdf')}"
    return {"type": "input_file", **({"file_url": url} if part.url else {"filename": name, "file_data": url})}


_ENDINGS = {
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
}


def as_came(request: Request, native: Native, name: str) -> dict[str, Any]:
    """The body as it came, with the model that really answers and what was decided otherwise since.

    name: The provider's. What another one has kept is written out, since this one does not know it.
    """
    is_elsewhere = native.whole is not None and native.kept_by != name
    body = {**(native.whole if is_elsewhere and native.whole else native.body), "model": request.model}
    if request.parameters != native.parameters:
        before, now = native.parameters.as_dict(), request.parameters.as_dict()
        changed = {word: value for word, value in now.items() if before.get(word) != value}
        for word in (before.keys() - now.keys()) | changed.keys():
            _put(body, _PATHS.get(word, ""), None)
        for word, value in _said(Parameters(**changed)).items():
            _put(body, _PATHS[word], value)
    given = body.get("input")
    if isinstance(given, list):
        given = [item for item in given if not _is_foreign(item)]
        if request.system != native.system:
            given = list(dropwhile(_is_system, given))
        body["input"] = given
    if request.system != native.system:
        body["instructions"] = request.system
    return body


_PATHS = {
    "temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens", "service_tier": "service_tier",
    "thinking_level": "reasoning.effort", "json_schema": "text.format", "json_object": "text.format",
}  # fmt: skip


def _said(p: Parameters) -> dict[str, Any]:
    """Parameters that are set, with their values in OpenAI's words."""
    values = {word: value for word, value in p.as_dict().items() if word in _PATHS}
    if p.service_tier is not None:
        values["service_tier"] = TIERS.get(p.service_tier)
    if p.json_object:
        values["json_object"] = {"type": "json_object"}
    if p.json_schema is not None:
        schema = wrapped(p.json_schema)
        form = {"type": "json_schema", "name": "answer", "schema": schema, "strict": is_closed(schema)}
        values["json_schema"] = form
    return values


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set a field, or take it out for None."""
    holder, _, word = path.rpartition(".")
    inside = body
    if holder:
        inside = body[holder] = dict(found) if isinstance(found := body.get(holder), dict) else {}
    inside.pop(word, None)
    if value is not None:
        inside[word] = value
    elif holder and not inside:
        del body[holder]


def _is_foreign(item: Any) -> bool:
    """True of a thought that another vendor signed, or that we have named."""
    if not isinstance(item, dict) or item.get("type") != "reasoning":
        return False
    is_ours = _OUR_ID.fullmatch(str(item.get("id"))) is not None and not item.get("encrypted_content")
    return is_ours or from_foreign(item.get("encrypted_content")) is not None


def _is_system(item: Any) -> bool:
    return isinstance(item, dict) and item.get("role") in ("system", "developer")


class ResponseReader:
    """Reads one answer, whole or event by event."""

    def __init__(self, schema: Mapping[str, Any] | None = None) -> None:
        """schema: That of an answer that was not asked for by a body of this wire."""
        self._unwrapper = Unwrapper(schema)
        self._calls: dict[Any, int] = {}  # id of an item -> number of the call
        self._custom: set[Any] = set()  # free-form tools, whose text is still open
        self._done: set[Any] = set()  # items whose content came in parts

    def error_in(self, value: dict[str, Any]) -> dict[str, Any] | None:
        """The error of an event, in the form that errors have elsewhere; None = it holds none."""
        if value.get("type") == "error":
            return value if isinstance(value.get("error"), dict) else {"error": value}
        response = value if value.get("object") == "response" else value.get("response")
        error = response.get("error") if isinstance(response, dict) else None
        error = error or value.get("error")  # some servers say it beside the response that failed
        return {"error": {"type": "server_error", **error}} if isinstance(error, dict) and error else None

    def read_all(self, events: Sequence[Event], quota: Quota | None, *, keeps_raw: bool) -> list[Chunk]:
        """The chunks of events that came together; keeps_raw: in one, with their bytes."""
        found = [chunk for event in events if event.value and (chunk := self.read(event.value)) is not None]
        if not keeps_raw:
            return found
        return [one_chunk(found, b"".join(event.raw for event in events), quota)] if events else []

    def read(self, event: dict[str, Any]) -> Chunk | None:
        kind, delta = str(event.get("type") or ""), str(event.get("delta") or "")
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            return self._part(event, Chunk(text=self._unwrapper.read(delta, is_last=False)))
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            return self._part(event, Chunk(thinking=delta))
        if kind == "response.reasoning_summary_part.added" and event.get("summary_index"):
            return Chunk(thinking="\n\n")
        if kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            return self._part(event, Chunk(tools=self._argued(event.get("item_id"), delta)))
        if kind in ("response.output_item.added", "response.output_item.done"):
            item = event.get("item")
            item = item if isinstance(item, dict) else {}
            return self._begun(item) if kind.endswith("added") else self._ended(item)
        if kind in _ENDING and isinstance(event.get("response"), dict):
            return self._end(event["response"])
        return None

    def _end(self, response: dict[str, Any]) -> Chunk:
        end = _end(response)
        end.text = self._unwrapper.read("", is_last=True)
        return end

    def whole(self, response: dict[str, Any], raw: bytes | None, quota: Quota | None) -> Chunk:
        """An answer that came as one."""
        found = [chunk for item in response.get("output") or () if (chunk := self._ended(item)) is not None]
        return one_chunk([*found, self._end(response)], raw, quota)

    def _part(self, event: dict[str, Any], chunk: Chunk) -> Chunk:
        self._done.add(event.get("item_id"))
        return chunk

    def _begun(self, item: dict[str, Any]) -> Chunk | None:
        if item.get("type") not in _CALLS or item.get("id") in self._calls:
            return None
        index = self._calls[item.get("id")] = len(self._calls)
        if item["type"] == "custom_tool_call":
            self._custom.add(item.get("id"))
        call_id, name = (str(item.get(word) or "") for word in ("call_id", "name"))
        return Chunk(tools=(ToolDelta(index=index, id=call_id, name=name),))

    def _argued(self, item_id: Any, text: str) -> tuple[ToolDelta, ...]:
        """A piece of arguments; the text of a free-form tool becomes its one argument."""
        if item_id not in self._calls:
            return ()
        if item_id in self._custom:
            text = ("" if item_id in self._done else '{"input": "') + json.dumps(text)[1:-1]
        return (ToolDelta(index=self._calls[item_id], arguments=text),)

    def _ended(self, item: dict[str, Any]) -> Chunk | None:
        """The rest of an item: all of it where nothing came in parts."""
        begun, item_id = self._begun(item), item.get("id")
        tools, came = begun.tools if begun else (), item_id in self._done
        kind = item.get("type")
        if kind in _CALLS:
            if not came:
                tools += self._argued(item_id, str(item.get(_CALLS[kind]) or ""))
            if item_id in self._custom:
                tools += (ToolDelta(index=self._calls[item_id], arguments='"}'),)
        if came or kind not in ("message", "reasoning"):
            return Chunk(tools=tools) if tools else None
        said = _texts(item.get("content"))
        return (
            Chunk(text=self._unwrapper.read(said, is_last=False))
            if kind == "message"
            else Chunk(thinking=_texts(item.get("summary"), "\n\n") or said)
        )


def _texts(parts: Any, between: str = "") -> str:
    said = [part.get("text") or part.get("refusal") for part in parts or () if isinstance(part, dict)]
    return between.join(str(each) for each in said if each)


def _end(response: dict[str, Any]) -> Chunk:
    """The end of an answer, with its usage."""
    output = [item for item in response.get("output") or () if isinstance(item, dict)]
    kinds = [item.get("type") for item in output]
    finish: FinishReason | None = None
    reason = None
    if response.get("status") == "completed":
        finish = "tool_calls" if any(kind in _CALLS for kind in kinds) else "stop"
    elif response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = str(details.get("reason") if isinstance(details, dict) else "")
        finish = _ENDS.get(reason, "other")
    elif response.get("status") in ("failed", "cancelled"):
        finish, reason = "error", str(response["status"])
    return Chunk(
        usage=_usage(response.get("usage"), output),
        finish_reason=finish,
        reason=reason if finish in UNUSUAL else None,
        response_model=str(response["model"]) if response.get("model") else None,
        service_tier=tier_of(response.get("service_tier")),
    )


def _usage(given: Any, output: Sequence[dict[str, Any]]) -> Usage | None:
    """The counts, with searches; of what else OpenAI ran itself nobody here knows the price."""
    usage = to_usage(given)
    if usage is None:
        return None
    kinds = [str(item.get("type")) for item in output]
    # Opening a page that was found, and looking through it, is not charged.
    actions = [item.get("action") for item in output if item.get("type") == _SEARCH]
    n_searches = sum(not isinstance(a, dict) or a.get("type", "search") == "search" for a in actions)
    others = {kind: kinds.count(kind) for kind in _RUN_THERE if kind in kinds}
    return replace(usage, n_searches=usage.n_searches + n_searches, more={**usage.more, **others})
