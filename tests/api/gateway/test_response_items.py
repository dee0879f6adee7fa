"""Events of Responses for whatever a model may stream, read by OpenAI's own types."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from api.gateway.responses.items import Items
from api.gateway.responses.tools import Tools
from core import Chunk, Generation
from core.domain.generation import ToolDelta
from core.domain.message import Thought, ToolCall, unsealed

TOOLS: dict[str, Any] = {
    "tools": [
        {"type": "function", "name": "look"},
        {"type": "custom", "name": "write"},
        {"type": "namespace", "name": "far", "tools": [{"type": "function", "name": "look"}]},
    ]
}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
texts = st.text(min_size=1, max_size=5)
calls = st.tuples(st.sampled_from(["look", "far__look", "write", "unheard_of"]), st.sampled_from(["", "c2ln"]))
pieces = st.one_of(
    texts.map(lambda text: Chunk(text=text)),
    texts.map(lambda text: Chunk(thinking=text)),
    texts.map(lambda text: Chunk(thought=Thought(text, "Er"))),
    calls,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(pieces, max_size=8), st.sampled_from(["stop", "length", "tool_calls"]))
def test_events_tell_of_all_that_was_said(said: list[Any], finish: Any):
    items, chunks, made = Items(Tools(TOOLS), "base"), [], []
    for each in said:
        if isinstance(each, Chunk):
            chunks.append(each)
            continue
        name, signature = each
        arguments = json.dumps({"input": f"x{len(made)}"})
        head = ToolDelta(index=len(made), id=f"id{len(made)}", name=name, signature=signature)
        chunks += [Chunk(tools=(head,)), Chunk(tools=(ToolDelta(index=len(made), arguments=arguments),))]
        made.append(ToolCall(f"id{len(made)}", name, arguments, signature))
    g = Generation(
        id="g_base", created_at=datetime.now(UTC), request_model="m", response_model="m", provider="p", source="api",
        status="ok", finish_reason=finish, tool_calls=tuple(made),
    )  # fmt: skip

    events = [event for chunk in chunks for event in items.add(chunk)]
    events += items.end(g)

    for number, (kind, fields) in enumerate(events):
        EVENT.validate_python({"type": kind, "sequence_number": number, **json.loads(json.dumps(fields))})
    told = [fields["item"] for kind, fields in events if kind == "response.output_item.done"]
    assert sorted(told, key=lambda item: items.items.index(item)) == items.items
    assert len({item["id"] for item in items.items}) == len(items.items)
    Response.model_validate({
        "id": "r", "created_at": 0, "model": "m", "object": "response", "output": items.items,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    })  # fmt: skip
    deltas = [fields["delta"] for kind, fields in events if kind == "response.output_text.delta"]
    assert "".join(deltas) == "".join(chunk.text for chunk in chunks)
    called = [item for item in items.items if "call" in item["type"]]
    assert sorted(item["call_id"] for item in called) == sorted(call.id for call in made)
    signed = [unsealed(item["encrypted_content"]) for item in items.items if "encrypted_content" in item]
    assert len(signed) == sum(chunk.thought is not None for chunk in chunks) + sum(bool(c.signature) for c in made)
