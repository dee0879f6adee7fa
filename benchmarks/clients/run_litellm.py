"""LiteLLM's client, which is told that the address speaks OpenAI's wire."""

import json
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it reads its prices from the network at import

import litellm
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

COUNTED = {"stream_options": {"include_usage": True}}


def ask(messages: list[Any], **more: Any) -> Any:
    fixed = {
        "api_base": BASE_URL,
        "api_key": KEY,
        "custom_llm_provider": "openai",
        "timeout": TIMEOUT_S,
        "max_retries": 0,
    }
    return litellm.completion(**{"model": MODEL, "messages": messages, **fixed, **more})


def streamed(messages: list[Any], **more: Any) -> Any:
    """The stream put together by LiteLLM itself."""
    return litellm.stream_chunk_builder(list(ask(messages, stream=True, **COUNTED, **more)), messages=messages)


def seen(answer: Any) -> dict[str, Any]:
    message, usage = answer.choices[0].message, answer.usage
    return {
        "text": message.content,
        "calls": [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()],
        "finish": answer.choices[0].finish_reason,
        "usage": {
            "prompt": usage.prompt_tokens,
            "completion": usage.completion_tokens,
            "total": usage.total_tokens,
            "cached": usage.prompt_tokens_details.cached_tokens,
            "thinking": usage.completion_tokens_details.reasoning_tokens,
        },
    }


def results(answer: Any) -> list[Any]:
    message = answer.choices[0].message
    given = json.dumps(S.weather)
    return [message, *({"role": "tool", "tool_call_id": c.id, "content": given} for c in message.tool_calls)]


def tools() -> dict[str, Any]:
    one = ask([user(S.one_city)], tools=[TOOL])
    after_one = ask([user(S.one_city), *results(one)], tools=[TOOL])
    two = streamed([user(S.two_cities)], tools=[TOOL])
    after_two = streamed([user(S.two_cities), *results(two)], tools=[TOOL])
    return {"one": seen(one), "after one": seen(after_one), "two": seen(two), "after two": seen(after_two)}


def as_json() -> dict[str, Any]:
    answer = ask([user(S.json)], response_format=RESPONSE_FORMAT)
    return {**seen(answer), "json": json.loads(answer.choices[0].message.content)}


def errors() -> dict[str, Any]:
    def describe(error: Any) -> dict[str, Any]:
        headers = getattr(error, "litellm_response_headers", None) or error.response.headers
        return {"status": error.status_code, "retry-after": headers.get("retry-after")}

    return failures(lambda model, text: ask([user(text)], model=model), describe)


report(
    conversation=lambda: seen(ask(CONVERSATION, **LIMITS)),
    stream=lambda: seen(streamed(CONVERSATION, **LIMITS)),
    tools=tools,
    json=as_json,
    errors=errors,
)
