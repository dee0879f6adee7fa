"""Answers of Anthropic's messages API."""

from collections.abc import Sequence
from typing import Any

from core.domain.generation import Chunk, FinishReason, ToolDelta
from core.domain.message import Thought, to_arguments
from core.providers.anthropic.usage import served_tier, to_usage
from core.providers.base import UNUSUAL, one_chunk
from core.providers.http.events import Event

_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "model_context_window_exceeded": "length",
    "tool_use": "tool_calls", "refusal": "content_filter", "unknown": "unknown",
}  # fmt: skip


class Reader:
    """Reads a message's events. Usage comes in two halves, the input's first; tool calls have numbers of their own."""

    def __init__(self) -> None:
        self._counts: dict[str, Any] = {}
        self._tools: dict[Any, int] = {}  # number of the content block -> number of the call
        # Number of the content block -> its input, until a piece of it has come. Nothing at all means no arguments,
        # which is known once another block begins, or the message ends and not at its length.
        self._inputs: dict[Any, Any] = {}
        self._others: set[Any] = set()  # numbers of the content blocks of tools that run at the vendor
        self._thoughts: dict[Any, list[str]] = {}  # number of the content block -> its text and its signature

    def read(self, event: dict[str, Any]) -> Chunk | None:
        kind = event.get("type")
        if kind == "message_start":
            message = event.get("message") or {}
            self._counts.update(message.get("usage") or {})
            return Chunk(
                response_model=message.get("model"),
                usage=to_usage(self._counts),
                service_tier=served_tier(self._counts),
            )
        if kind == "content_block_start":
            return self._started(event.get("index"), event.get("content_block") or {})
        if kind == "content_block_delta":
            delta = event.get("delta") or {}
            if event.get("index") in self._others:
                return None  # of a tool that runs at the vendor
            if delta.get("type") == "input_json_delta":
                at, text = event.get("index"), str(delta.get("partial_json") or "")
                if text:
                    self._inputs.pop(at, None)
                return Chunk(tools=(ToolDelta(index=self._tools.setdefault(at, len(self._tools)), arguments=text),))
            return self._said(event.get("index"), delta)
        if kind == "content_block_stop":
            return self._stopped(event.get("index"))
        if kind == "message_delta":
            # Gateways end with zeros for what they counted at the beginning.
            self._counts.update({k: v for k, v in (event.get("usage") or {}).items() if v})
            return self._ended((event.get("delta") or {}).get("stop_reason"))
        return None

    def read_all(self, events: Sequence[Event], *, keeps_raw: bool) -> list[Chunk]:
        """The chunks of events that came together; keeps_raw: in one, with their bytes, but for the end of the stream,
        which whoever hands it on writes."""
        found = [chunk for event in events if event.value and (chunk := self.read(event.value)) is not None]
        if not keeps_raw:
            return found
        raw = b"".join(event.raw for event in events if not event.value or event.value.get("type") != "message_stop")
        return [one_chunk(found, raw)] if found or raw else []

    def whole(self, message: dict[str, Any], raw: bytes | None = None) -> list[Chunk]:
        """A message that came as one. raw: Its bytes, to be handed on."""
        self._counts.update(message.get("usage") or {})
        tier = served_tier(self._counts)
        found = [Chunk(response_model=message.get("model"), usage=to_usage(self._counts), service_tier=tier)]
        for at, block in enumerate(message.get("content") or ()):
            said = self._said(at, block) if block.get("type") in ("text", "thinking") else None
            found += [chunk for chunk in (self._started(at, block), said, self._stopped(at)) if chunk]
        # It came as a whole, so it is no broken one where it does not say why it ended.
        has_said = any(chunk.text or chunk.tools for chunk in found)
        found.append(self._ended(message.get("stop_reason") or ("unknown" if has_said else None)))
        return found if raw is None else [one_chunk(found, raw)]

    def _said(self, at: Any, delta: dict[str, Any]) -> Chunk:
        """The text of a delta, or of a whole block; of a thought, also for its end."""
        thinking, signature = str(delta.get("thinking") or ""), delta.get("signature") or delta.get("data")
        if thinking or signature:
            thought = self._thoughts.setdefault(at, ["", ""])
            thought[0] += thinking
            thought[1] += str(signature or "")
        return Chunk(text=str(delta.get("text") or ""), thinking=thinking)

    def _started(self, at: Any, block: dict[str, Any]) -> Chunk | None:
        tools = self._bare()
        if block.get("type") in ("server_tool_use", "mcp_tool_use"):
            self._others.add(at)
        if block.get("type") == "redacted_thinking":
            self._said(at, block)
        if block.get("type") == "tool_use":
            index = self._tools[at] = len(self._tools)
            self._inputs[at] = block.get("input")
            call_id, name = (str(block.get(word) or "") for word in ("id", "name"))
            tools += (ToolDelta(index=index, id=call_id, name=name),)
        return Chunk(tools=tools) if tools else None

    def _stopped(self, at: Any) -> Chunk | None:
        """The arguments of a call that came as a whole, and what is known of a thought at its end."""
        if (said := self._thoughts.pop(at, None)) and said[1]:
            return Chunk(thought=Thought(*said))
        if self._inputs.get(at) in (None, {}, ""):
            return None
        arguments = to_arguments(self._inputs.pop(at))
        return Chunk(tools=(ToolDelta(index=self._tools[at], arguments=arguments),))

    def _bare(self) -> tuple[ToolDelta, ...]:
        """The arguments of calls to which none came, because they have none."""
        bare, self._inputs = self._inputs, {}
        return tuple(
            ToolDelta(index=self._tools[at], arguments=to_arguments(given) or "{}") for at, given in bare.items()
        )

    def _ended(self, reason: Any) -> Chunk:
        finish = None if reason is None else _FINISH.get(str(reason), "other")
        tools = self._bare() if finish not in (None, "length") else ()
        return Chunk(
            tools=tools,
            usage=to_usage(self._counts),
            finish_reason=finish,
            reason=str(reason)[:300] if finish in UNUSUAL else None,
            service_tier=served_tier(self._counts),
        )
