"""OpenAI's Responses as the fake vendor speaks them: the events of an answer, and what it refuses."""

import secrets
from typing import Any

from tests.fakes import refusals
from tests.fakes.vendors import Reply

USAGE = {
    "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15,
}  # fmt: skip
_MODEL = "gpt-5.2-2026-01-15"


def text_item(text: str, item_id: str = "msg_1") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": item_id, "status": "completed", "role": "assistant", "content": content}


def call_item(call_id: str, name: str, arguments: str, item_id: str = "fc_1") -> dict[str, Any]:
    call = {"call_id": call_id, "name": name, "arguments": arguments}
    return {"type": "function_call", "id": item_id, "status": "completed", **call}


def thought_item(text: str, encrypted: str = "gAAAA-of-openai", item_id: str = "rs_1") -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": encrypted}


def response_answer(
    *items: dict[str, Any],
    usage: dict[str, Any] | None = None,
    response_id: str = "",
    status: str = "completed",
    **more: Any,
) -> Reply:
    """An answer of these items, each text and each argument in two pieces."""
    output = list(items) or [text_item("Hello there.")]
    head = {
        "id": response_id or f"resp_{secrets.token_hex(8)}",
        "object": "response",
        "created_at": 1,
        "model": _MODEL,
        "output": [],
        "usage": None,
    }
    begun = {**head, "status": "in_progress", "error": None, **more}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}
    ]  # fmt: skip
    for at, item in enumerate(output):
        events += _events(item, {"output_index": at, "item_id": item["id"]})
    whole = {**begun, "status": status, "output": output, "usage": USAGE if usage is None else usage}
    events.append({"type": f"response.{status}", "response": whole})
    return Reply(events=[(each["type"], {**each, "sequence_number": n}) for n, each in enumerate(events)])


def _events(item: dict[str, Any], place: dict[str, Any]) -> list[dict[str, Any]]:
    kind, index = item["type"], {"output_index": place["output_index"]}
    empty = {"message": {"content": []}, "reasoning": {"summary": []}, "function_call": {"arguments": ""}}
    empty |= {"custom_tool_call": {"input": ""}}
    events = [{"type": "response.output_item.added", **index, "item": {**item, **empty.get(kind, {})}}]
    for name, told, text in _pieces(item):
        half = len(text) // 2
        if kind == "message":
            empty_part = {"type": "output_text", "text": "", "annotations": []}
            events.append({"type": "response.content_part.added", **place, **told, "part": empty_part})
        if kind == "reasoning":
            summary = {"type": "summary_text", "text": ""}
            events.append({"type": "response.reasoning_summary_part.added", **place, **told, "part": summary})
        events += [{"type": f"{name}.delta", **place, **told, "delta": text[:half]}] if half else []
        events.append({"type": f"{name}.delta", **place, **told, "delta": text[half:]})
    return [*events, {"type": "response.output_item.done", **index, "item": item}]


def _pieces(item: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    if item["type"] == "message":
        content = enumerate(item["content"])
        return [("response.output_text", {"content_index": n}, part["text"]) for n, part in content]
    if item["type"] == "reasoning":
        summary = enumerate(item["summary"])
        return [("response.reasoning_summary_text", {"summary_index": n}, part["text"]) for n, part in summary]
    if item["type"] == "function_call":
        return [("response.function_call_arguments", {}, item["arguments"])]
    return [("response.custom_tool_call_input", {}, item["input"])] if item["type"] == "custom_tool_call" else []


def as_response(events: list[tuple[str, Any]]) -> dict[str, Any]:
    """The response that a stream of events ends with."""
    return dict(next(value["response"] for _, value in reversed(events) if "response" in value))


_PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_"}
_KNOWN = frozenset(
    "message function_call function_call_output custom_tool_call custom_tool_call_output reasoning item_reference"
    " web_search_call".split()
)


def _as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The part of a body that chat has too, as it has it there: tools and the shape of the answer."""
    tools = [{"type": "function", "function": t} for t in body.get("tools") or () if t.get("type") == "function"]
    shape = (body.get("text") or {}).get("format") or {}
    said: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": str(body.get("input"))}]}
    if body.get("instructions"):
        said["messages"].insert(0, {"role": "system", "content": body["instructions"]})
    said |= {"tools": tools} if tools else {}
    if shape.get("type") == "json_schema":
        shape = {"type": "json_schema", "json_schema": shape}
    return said | ({"response_format": shape} if shape else {})


def refusal(body: dict[str, Any], stored: set[str]) -> tuple[int, str, str] | None:
    """(status, code, words) with which OpenAI refuses a body. stored: The ids that it keeps."""
    if not body.get("model"):
        return 400, "missing_required_parameter", "Missing required parameter: 'model'."
    if words := refusals.by_openai(_as_chat(body)):
        return 400, "invalid_value", words
    previous = body.get("previous_response_id")
    if previous is not None and previous not in stored:
        words = f"Previous response with id '{previous}' not found."
        return 400, "previous_response_not_found", words
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    called: set[str] = set()
    for at, item in enumerate(items):
        kind = item.get("type") or "message"
        if kind not in _KNOWN:
            return 400, "invalid_value", f"Invalid value: '{kind}'. Supported values are: 'message', …"
        if kind == "item_reference" and item["id"] not in stored:
            return 404, "", f"Item with id '{item['id']}' not found."
        if kind == "reasoning" and not str(item.get("encrypted_content") or "gAAAA").startswith("gAAAA"):
            return 400, "invalid_encrypted_content", "The encrypted content could not be verified."
        prefix = _PREFIXES.get(kind)
        if prefix and item.get("id") and not item["id"].startswith(prefix):
            words = f"Invalid 'input[{at}].id': '{item['id']}'. Expected an ID that begins with '{prefix}'."
            return 400, "invalid_value", words
        if kind in ("function_call", "custom_tool_call"):
            called.add(item["call_id"])
        if kind in ("function_call_output", "custom_tool_call_output"):
            if item["call_id"] not in called and previous is None:
                return 400, "", f"No tool call found for function call output with call_id {item['call_id']}."
            called.discard(item["call_id"])
    if called:
        return 400, "", f"No tool output found for function call {called.pop()}."
    return None
