"""The wires that a gateway is asked on: addresses, questions and marks for who asks, answers for the fake vendor."""

import json
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

WORDS = (
    "The sky looks blue because air scatters short waves of sunlight far more than long ones ; what reaches the eye "
    "from every direction is therefore mostly blue , while the sun itself keeps the yellow and the red ."
).split()
N_CHUNKS = 60
TEACHER = "You are a patient teacher."


@dataclass(frozen=True)
class AskedOn:
    """One wire. text: The beginning of a piece of the answer; done: the mark of its end."""

    path: str
    model: str
    text: bytes
    done: bytes

    def body(self, question: str, model: str, *, stream: bool) -> dict[str, Any]:
        said: dict[str, Any] = {"model": model, "temperature": 0.7, **({"stream": True} if stream else {})}
        turn = {"role": "user", "content": question}
        if self.path.endswith("responses"):
            return {**said, "instructions": TEACHER, "max_output_tokens": 400, "input": [turn], "store": False}
        if self.path.endswith("messages"):
            return {**said, "system": TEACHER, "max_tokens": 400, "messages": [turn]}
        options = {"stream_options": {"include_usage": True}} if stream else {}
        return {**said, **options, "max_tokens": 400, "messages": [{"role": "system", "content": TEACHER}, turn]}


WIRES = {
    "chat": AskedOn("/v1/chat/completions", "gpt-4o", rb'"content": ?"[^"]', b"[DONE]"),
    "responses": AskedOn("/v1/responses", "gpt-4o", rb'"delta": ?"[^"]', b"response.completed"),
    "messages": AskedOn("/v1/messages", "claude-sonnet-4-5", rb'"text": ?"[^"]', b"message_stop"),
}


def event(value: dict[str, Any]) -> bytes:
    return f"event: {value['type']}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def response_answer(n_words: int) -> dict[str, Any]:
    text = " ".join(islice(cycle(WORDS), n_words))
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    usage = {
        "input_tokens": 120, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 150,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 270,
    }  # fmt: skip
    return {
        "id": "resp_bench", "object": "response", "created_at": 1790000000, "status": "completed", "error": None,
        "model": "gpt-4o-2024-08-06", "output": [message], "usage": usage, "service_tier": "default",
    }  # fmt: skip


def response_events(n_chunks: int) -> list[bytes]:
    whole = response_answer(n_chunks)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    values: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    values.append(
        {"type": "response.output_item.added", "output_index": 0, "item": {**whole["output"][0], "content": []}}
    )
    values.append({"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": ""}})
    words = islice(cycle(WORDS), n_chunks)
    values += [{"type": "response.output_text.delta", **place, "delta": f"{w} ", "logprobs": []} for w in words]
    values.append({"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]})
    values.append({"type": "response.completed", "response": whole})
    return [event({**value, "sequence_number": n}) for n, value in enumerate(values)]


def message_answer(n_words: int) -> dict[str, Any]:
    usage = {"input_tokens": 120, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 150}
    return {
        "id": "msg_bench", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": " ".join(islice(cycle(WORDS), n_words))}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": usage,
    }  # fmt: skip


def message_events(n_chunks: int) -> list[bytes]:
    message = {**message_answer(1), "content": [], "stop_reason": None}
    values: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    values.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for word in islice(cycle(WORDS), n_chunks):
        delta = {"type": "text_delta", "text": f"{word} "}
        values.append({"type": "content_block_delta", "index": 0, "delta": delta})
    values.append({"type": "content_block_stop", "index": 0})
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    values.append({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 150}})
    values.append({"type": "message_stop"})
    return [event(value) for value in values]
