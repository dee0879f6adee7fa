"""OpenAI's own client for Python."""

import json
from typing import Any

import openai
from scenario import (
    BASE_URL,
    CONVERSATION,
    KEY,
    LIMITS,
    MODEL,
    RESPONSE_FORMAT,
    TIMEOUT_S,
    TOOL,
    S,
    failures,
    report,
    user,
)

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=TIMEOUT_S)


def create(messages: list[Any], **more: Any) -> Any:
    return client.chat.completions.create(**{"model": MODEL, "messages": messages, **more})


def seen(answer: Any) -> dict[str, Any]:
    choice = answer.choices[0]
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]
    return {
        "text": choice.message.content,
        "calls": calls,
        "finish": choice.finish_reason,
        "usage": counts(answer.usage),
    }


def counts(usage: Any) -> Any:
    return usage and {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "total": usage.total_tokens,
        "cached": usage.prompt_tokens_details.cached_tokens,
        "thinking": usage.completion_tokens_details.reasoning_tokens,
    }


def streamed(messages: list[Any], **more: Any) -> dict[str, Any]:
    """The stream put together. `message` is what a client sends back of it."""
    texts: list[str] = []
    calls: dict[int, dict[str, Any]] = {}
    finish: list[Any] = []
    usages: list[Any] = []
    roles: list[Any] = []
    for chunk in create(messages, stream=True, **more):
        usages += [counts(chunk.usage)] if chunk.usage else []
        for choice in chunk.choices:
            texts += [choice.delta.content] if choice.delta.content else []
            roles += [choice.delta.role] if choice.delta.role else []
            finish += [choice.finish_reason] if choice.finish_reason else []
            for piece in choice.delta.tool_calls or ():
                call = calls.setdefault(piece.index, {"name": "", "arguments": "", "id": "", "types": []})
                call["id"] += piece.id or ""
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
                call["types"] += [piece.type] if piece.type else []
    sent = [
        {"id": c["id"], "type": "function", "function": {k: c[k] for k in ("name", "arguments")}}
        for c in calls.values()
    ]
    return {
        "text": "".join(texts),
        "in pieces": len(texts) > 1,
        "role": roles,
        "calls": [(c["name"], json.loads(c["arguments"]), c["types"]) for c in calls.values()],
        "finish": finish,
        "usage": usages,
        "message": {"role": "assistant", "content": "".join(texts) or None, "tool_calls": sent},
    }


def without_message(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "message"}


def stream() -> dict[str, Any]:
    counted = streamed(CONVERSATION, stream_options={"include_usage": True}, **LIMITS)
    return {"counted": without_message(counted), "uncounted": without_message(streamed([user(S.hello)]))}


def results(calls: list[Any]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": id_, "content": json.dumps(S.weather)} for id_ in calls]


def tools() -> dict[str, Any]:
    """One call in a plain answer, two calls in a stream; then the answer to what they gave."""
    one = create([user(S.one_city)], tools=[TOOL])
    message = one.choices[0].message
    after = create([user(S.one_city), message, *results([call.id for call in message.tool_calls])], tools=[TOOL])
    two = streamed([user(S.two_cities)], tools=[TOOL], stream_options={"include_usage": True})
    ids = [call["id"] for call in two["message"]["tool_calls"]]
    after_two = streamed([user(S.two_cities), two["message"], *results(ids)], tools=[TOOL])
    found = {"one": seen(one), "after one": seen(after), "two": without_message(two)}
    return {**found, "after two": without_message(after_two), "ids differ": len(set(ids)) == 2}


def as_json() -> dict[str, Any]:
    answer = create([user(S.json)], response_format=RESPONSE_FORMAT)
    return {**seen(answer), "json": json.loads(answer.choices[0].message.content)}


def errors() -> dict[str, Any]:
    def ask(model: str, text: str) -> Any:
        return create([user(text)], model=model).choices[0].message

    def ask_streamed(model: str, text: str) -> Any:
        return list(create([user(text)], model=model, stream=True))

    def describe(error: Any) -> dict[str, Any]:
        return {
            "status": error.status_code,
            "code": error.code,
            "retry-after": error.response.headers.get("retry-after"),
        }

    return {"plain": failures(ask, describe), "streamed": failures(ask_streamed, describe)}


report(
    conversation=lambda: seen(create(CONVERSATION, **LIMITS)), stream=stream, tools=tools, json=as_json, errors=errors
)
