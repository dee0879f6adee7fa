"""The items of an answer, put together chunk by chunk, with the events that tell of them."""

from collections.abc import Iterator
from typing import Any

from api.gateway.responses.tools import Tools
from core import Chunk, Generation, ToolCall
from core.domain.generation import ToolDelta
from core.domain.message import read_arguments, sealed, to_foreign

Item = dict[str, Any]
Event = tuple[str, dict[str, Any]]


class Items:
    """The output of one answer. base: The part of all ids that is its own."""

    def __init__(self, tools: Tools, base: str) -> None:
        self.items: list[Item] = []
        self._tools = tools
        self._base = base
        self._open = ""  # the type of the item that is written
        self._text: list[str] = []
        self._calls: dict[int, Item] = {}  # by the number of the call

    def add(self, chunk: Chunk) -> Iterator[Event]:
        """Take a chunk in; the events that tell of it."""
        if chunk.thinking:
            yield from self._write("reasoning", chunk.thinking)
        if chunk.thought is not None:
            yield from self._sign(sealed(chunk.thought))
        if chunk.text:
            yield from self._write("message", chunk.text)
        for tool in chunk.tools:
            yield from self._call(tool)

    def end(self, g: Generation) -> Iterator[Event]:
        """The events that end all items."""
        status = "incomplete" if g.finish_reason == "length" else "completed"
        yield from self._close(status)
        for number, call in zip(sorted(self._calls), g.tool_calls, strict=False):
            item = self._calls[number]
            if "arguments" in item:
                # Clients read the arguments as JSON, also of a tool that has none.
                item |= {"arguments": call.arguments or ("{}" if status == "completed" else ""), "status": status}
                place = {"item_id": item["id"], "output_index": self.items.index(item)}
                yield "response.function_call_arguments.done", {**place, "arguments": item["arguments"]}
                yield self._done(item)
            else:
                yield from self._custom(item, call)

    def _write(self, kind: str, text: str) -> Iterator[Event]:
        if self._open != kind:
            yield from self._close()
            yield self._begin(kind)
        item = self.items[-1]
        place = {"item_id": item["id"], "output_index": len(self.items) - 1}
        if kind == "message":
            place |= {"content_index": 0}
            if not self._text:
                yield "response.content_part.added", {**place, "part": _output_text("")}
            yield "response.output_text.delta", {**place, "delta": text, "logprobs": []}
        else:
            place |= {"summary_index": 0}
            if not self._text:
                yield "response.reasoning_summary_part.added", {**place, "part": {"type": "summary_text", "text": ""}}
            yield "response.reasoning_summary_text.delta", {**place, "delta": text}
        self._text.append(text)

    def _sign(self, encrypted: str) -> Iterator[Event]:
        """End a thought with its signature, without which its vendor would not take it back."""
        if self._open != "reasoning":
            yield from self._close()
            yield self._begin("reasoning")
        self.items[-1]["encrypted_content"] = encrypted
        yield from self._close()

    def _begin(self, kind: str) -> Event:
        item: Item = {"type": kind, "id": self._id("msg" if kind == "message" else "rs")}
        item |= {"status": "in_progress", "role": "assistant", "content": []} if kind == "message" else {"summary": []}
        self._open, self._text = kind, []
        self.items.append(item)
        return self._added()

    def _close(self, status: str = "completed") -> Iterator[Event]:
        if not self._open:
            return
        item, text, kind = self.items[-1], "".join(self._text), self._open
        place = {"item_id": item["id"], "output_index": len(self.items) - 1}
        self._open, self._text = "", []
        if kind == "message":
            place |= {"content_index": 0}
            item |= {"content": [_output_text(text)], "status": status}
            yield "response.output_text.done", {**place, "text": text, "logprobs": []}
            yield "response.content_part.done", {**place, "part": _output_text(text)}
        elif text:
            place |= {"summary_index": 0}
            item["summary"] = [{"type": "summary_text", "text": text}]
            yield "response.reasoning_summary_text.done", {**place, "text": text}
            yield "response.reasoning_summary_part.done", {**place, "part": item["summary"][0]}
        yield self._done(item)

    def _call(self, tool: ToolDelta) -> Iterator[Event]:
        """The beginning of a call, or a piece of its arguments. Of free-form tools all is told at the end."""
        if (item := self._calls.get(tool.index)) is None:
            if tool.signature:
                yield from self._sign(to_foreign(tool.signature))
            yield from self._close()
            named = {"call_id": tool.id or f"call_{self._base}_{tool.index}", **self._named(tool.name)}
            item = self._calls[tool.index] = named
            offered = self._tools.offered.get(tool.name)
            if offered is None or not offered.tool.is_custom:
                head = {"type": "function_call", "id": self._id("fc"), "status": "in_progress", "arguments": ""}
                named |= head
                self.items.append(named)
                yield self._added()
        if tool.arguments and "arguments" in item:
            place = {"item_id": item["id"], "output_index": self.items.index(item)}
            yield "response.function_call_arguments.delta", {**place, "delta": tool.arguments}

    def _custom(self, named: Item, call: ToolCall) -> Iterator[Event]:
        """A call of a free-form tool, unless its input was cut off: it must not run with a part of it."""
        given = read_arguments(call.arguments)
        if given is None:
            return
        texts = [value for value in given.values() if isinstance(value, str)]
        text = given.get("input") if len(texts) != 1 else texts[0]  # some models name it otherwise
        text = text if isinstance(text, str) else call.arguments
        item = named | {"type": "custom_tool_call", "id": self._id("ctc"), "input": ""}
        self.items.append(item)
        place = {"item_id": item["id"], "output_index": len(self.items) - 1}
        yield self._added()
        yield "response.custom_tool_call_input.delta", {**place, "delta": text}
        yield "response.custom_tool_call_input.done", {**place, "input": text}
        item |= {"input": text, "status": "completed"}
        yield self._done(item)

    def _named(self, name: str) -> Item:
        """The name of a tool as its caller knows it."""
        offered = self._tools.offered.get(name)
        if offered is None:
            return {"name": name}
        return {"name": offered.name, **({"namespace": offered.namespace} if offered.namespace else {})}

    def _id(self, kind: str) -> str:
        return f"{kind}_{self._base}_{len(self.items)}"

    def _added(self) -> Event:
        return "response.output_item.added", {"output_index": len(self.items) - 1, "item": dict(self.items[-1])}

    def _done(self, item: Item) -> Event:
        return "response.output_item.done", {"output_index": self.items.index(item), "item": dict(item)}


def _output_text(text: str) -> Item:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
