"""LangChain's ChatOpenAI."""

import json
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from scenario import BASE_URL, KEY, MODEL, TIMEOUT_S, TOOL, S, failures, report


def chat(model: str = MODEL, **more: Any) -> Any:
    return ChatOpenAI(model=model, base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=TIMEOUT_S, **more)


def conversation() -> list[Any]:
    kinds: dict[str, Any] = {"user": HumanMessage, "assistant": AIMessage}
    return [SystemMessage(S.system), *(kinds[role](text) for role, text in S.turns)]


def limited() -> Any:
    return chat(temperature=S.temperature, max_tokens=S.max_tokens, stop=S.stop, stream_usage=True)


def seen(message: Any) -> dict[str, Any]:
    return {
        "text": message.content,
        "calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "finish": message.response_metadata.get("finish_reason"),
        "usage": message.usage_metadata,
    }


def streamed(model: Any, messages: list[Any]) -> Any:
    whole: Any = None
    for piece in model.stream(messages):
        whole = piece if whole is None else whole + piece
    return whole


def tools() -> dict[str, Any]:
    model = chat(stream_usage=True).bind_tools([TOOL])
    question, questions = HumanMessage(S.one_city), HumanMessage(S.two_cities)
    one = model.invoke([question])
    after_one = model.invoke([question, one, *results(one)])
    two = streamed(model, [questions])
    after_two = streamed(model, [questions, two, *results(two)])
    return {"one": seen(one), "after one": seen(after_one), "two": seen(two), "after two": seen(after_two)}


def results(message: Any) -> list[Any]:
    return [ToolMessage(json.dumps(S.weather), tool_call_id=call["id"]) for call in message.tool_calls]


def as_json() -> dict[str, Any]:
    schema = {"title": "person", "description": "A person", **S.schema}
    found = chat().with_structured_output(schema, method="json_schema", include_raw=True).invoke(S.json)
    return {**seen(found["raw"]), "json": found["parsed"]}


def errors() -> dict[str, Any]:
    def describe(error: Any) -> dict[str, Any]:
        return {
            "status": error.status_code,
            "code": error.code,
            "retry-after": error.response.headers.get("retry-after"),
        }

    return failures(lambda model, text: chat(model).invoke(text), describe)


report(
    conversation=lambda: seen(limited().invoke(conversation())),
    stream=lambda: seen(streamed(limited(), conversation())),
    tools=tools,
    json=as_json,
    errors=errors,
)
