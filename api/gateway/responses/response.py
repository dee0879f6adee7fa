"""Responses' JSON of our chunks and records: the events of an answer, and the whole of it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from api.gateway.responses.items import Event, Items
from api.gateway.responses.tools import Tools
from core import Call, Chunk, Generation
from core.formats import strict_json as json
from core.formats.strict_json import encoded

ENCRYPTED = "reasoning.encrypted_content"
_ENDING = re.compile(rb'"type":\s*"response\.(completed|incomplete)"')
_EVENT = re.compile(rb"\r?\n\r?\n|\r\r")  # the end of one
_ID = re.compile(rb'"id":\s*"(resp_[\w-]+)"')
_NUMBER = re.compile(rb'"sequence_number":\s*(\d+)')
# What a request says and its answer says again, with what is meant where it says nothing.
_ECHOED: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None, "prompt_cache_key": None, "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None, "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
    "tools": [], "top_p": 1.0, "truncation": "disabled", "user": None,
}  # fmt: skip
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesAnswer:
    """One answer. Vendors' own bytes pass through.

    is_stored: Whether a later request may refer to it.
    response: The whole answer, once it has ended; thoughts in it have their signatures, whether or not they are shown.
    """

    has_comments = True
    ping = b""

    def __init__(self, body: Mapping[str, Any], *, is_stored: bool) -> None:
        self.response: dict[str, Any] | None = None
        self._body = body
        self._is_stored = is_stored
        include = body.get("include")
        self._shows_encrypted = isinstance(include, list) and ENCRYPTED in include
        self._items: Items | None = None
        self._n_events = 0
        self._raw = b""  # the last that a vendor sent
        self._id = ""

    def chunk(self, chunk: Chunk, call: Call) -> bytes:
        """The events of a chunk."""
        if chunk.raw is not None:
            self._look_into(chunk.raw)
            return chunk.raw
        events = list(self._items_of(call).add(chunk))
        return self._begun(call) + self._written(events) if events else b""

    def _look_into(self, raw: bytes) -> None:
        """Note of a vendor's events which answer they are of, and how it ended."""
        self._raw = raw
        if not self._id and (found := _ID.search(raw)):
            self._id = found[1].decode()
        for event in _EVENT.split(raw) if _ENDING.search(raw) else ():
            if _ENDING.search(event):  # its data may stand in several lines
                data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
                self.response = json.loads(data).get("response")

    def _items_of(self, call: Call) -> Items:
        if self._items is None:
            self._items = Items(Tools(self._body), call.id.partition("_")[2])
        return self._items

    def _begun(self, call: Call) -> bytes:
        if self._n_events:
            return b""
        response = self._response(call, "in_progress")
        return self._written(
            [("response.created", {"response": response}), ("response.in_progress", {"response": response})]
        )

    def end(self, g: Generation, call: Call, *, was_raw: bool) -> bytes:
        """The events after the last chunk."""
        if was_raw:
            return b""
        written = self._begun(call) + self._written(self._items_of(call).end(g))
        self.response = self._ended(g, call)
        return written + self._written([(f"response.{self.response['status']}", {"response": self.response})])

    def done(self) -> bytes:
        return b""

    def whole(self, g: Generation, call: Call, chunks: list[Chunk]) -> bytes:
        items = self._items_of(call)
        for chunk in chunks:
            list(items.add(chunk))
        list(items.end(g))
        self.response = self._ended(g, call)
        return encoded(self.shown(self.response))

    def error_event(self, raw: bytes) -> bytes:
        """The end of a stream in which the call failed."""
        error = json.loads(raw)["error"]
        if self._raw:
            numbers = _NUMBER.findall(self._raw)
            self._n_events = int(numbers[-1]) + 1 if numbers else self._n_events
        told = {"code": error.get("code") or error["type"], "message": error["message"]}
        failed: dict[str, Any] = {
            "id": self._id,
            "object": "response",
            "status": "failed",
            "error": told,
            "output": [],
            "usage": None,
        }
        return self._written([("response.failed", {"response": failed})])

    def _ended(self, g: Generation, call: Call) -> dict[str, Any]:
        reason = _REASONS.get(g.finish_reason or "")
        response = self._response(call, "incomplete" if reason else "completed", g)
        response["incomplete_details"] = {"reason": reason} if reason else None
        return response

    def _response(self, call: Call, status: str, g: Generation | None = None) -> dict[str, Any]:
        self._id = f"resp_{call.id.partition('_')[2]}"
        said = {name: self._body[name] for name in _ECHOED if self._body.get(name) is not None}
        model = call.answerer.model.name if call.answerer.model else call.request.model
        return {
            "id": self._id, "object": "response", "created_at": int(call.state.created_at.timestamp()),
            "status": status, "background": False, "error": None, "incomplete_details": None,
            "model": model if g is None else g.response_model or g.model,
            "output": [] if g is None else self._items_of(call).items,
            "usage": None if g is None else usage(g), "store": self._is_stored,
            **_ECHOED, **said,
        }  # fmt: skip

    def shown(self, response: dict[str, Any]) -> dict[str, Any]:
        """A response as its caller gets it: signatures of thoughts only where they are asked for."""
        return {**response, "output": [self._shown(item) for item in response["output"]]}

    def _shown(self, item: dict[str, Any]) -> dict[str, Any]:
        if self._shows_encrypted or "encrypted_content" not in item:
            return item
        return {name: value for name, value in item.items() if name != "encrypted_content"}

    def _written(self, events: Iterable[Event]) -> bytes:
        written = []
        for kind, fields in events:
            if "item" in fields:
                fields = {**fields, "item": self._shown(fields["item"])}
            elif "response" in fields:
                fields = {**fields, "response": self.shown(fields["response"])}
            value = {"type": kind, "sequence_number": self._n_events, **fields}
            written.append(f"event: {kind}\ndata: ".encode() + encoded(value) + b"\n\n")
            self._n_events += 1
        return b"".join(written)


def usage(g: Generation) -> dict[str, Any]:
    """The usage in the words of Responses: the input is all of it, the output with what was thought."""
    u = g.usage
    written = u.cache_write_tokens + u.cache_write_1h_tokens
    return {
        "input_tokens": u.input_tokens,
        "input_tokens_details": {"cached_tokens": u.cached_tokens, "cache_write_tokens": written},
        "output_tokens": u.output_tokens,
        "output_tokens_details": {"reasoning_tokens": u.thinking_tokens},
        "total_tokens": u.total_tokens,
    }
