"""Google's own client, google-genai."""

import json
from typing import Any

from google import genai
from google.genai import types
from scenario import BASE_URL, KEY, MODEL, TIMEOUT_S, S, failures, report

client = genai.Client(
    api_key=KEY, vertexai=False, http_options=types.HttpOptions(base_url=BASE_URL, timeout=int(TIMEOUT_S * 1000))
)
TOOLS = [
    types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name=S.tool["name"],
                description=S.tool["description"],
                parameters_json_schema=S.tool["parameters"],
            )
        ]
    )
]
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)
LIMITS = {"temperature": S.temperature, "max_output_tokens": S.max_tokens, "stop_sequences": S.stop}


def said(role: str, text: str) -> types.Content:
    return types.Content(role="model" if role == "assistant" else "user", parts=[types.Part(text=text)])


CONVERSATION = [said(role, text) for role, text in S.turns]


def ask(contents: Any, model: str = MODEL, **config: Any) -> Any:
    return client.models.generate_content(model=model, contents=contents, config=types.GenerateContentConfig(**config))


def seen(*answers: Any) -> dict[str, Any]:
    """One plain answer, or the chunks of a stream."""
    parts = parts_of(answers)
    usage = answers[-1].usage_metadata
    texts = [part.text for part in parts if part.text and not part.thought]
    calls = [part.function_call for part in parts if part.function_call]
    finish = [answer.candidates[0].finish_reason for answer in answers if answer.candidates]
    return {
        "text": "".join(texts),
        "in pieces": len(texts) > 1,
        "calls": [(call.name, call.args) for call in calls],
        "signed": [bool(part.thought_signature) for part in parts if part.function_call],
        "finish": [reason.value for reason in finish if reason],
        "usage": usage and {
            "prompt": usage.prompt_token_count,
            "candidates": usage.candidates_token_count,
            "total": usage.total_token_count,
            "cached": usage.cached_content_token_count,
            "thinking": usage.thoughts_token_count,
        },
    }  # fmt: skip


def parts_of(answers: Any) -> list[types.Part]:
    contents = [answer.candidates[0].content for answer in answers if answer.candidates]
    return [part for content in contents if content for part in content.parts or ()]


def streamed(contents: Any, **config: Any) -> list[Any]:
    asked = client.models.generate_content_stream(
        model=MODEL, contents=contents, config=types.GenerateContentConfig(**config)
    )
    return list(asked)


def results(question: str, answers: list[Any]) -> list[types.Content]:
    """What a client sends next: the question, the model's turn as it came, and what the calls gave."""
    parts = parts_of(answers)
    calls = [part.function_call for part in parts if part.function_call]
    given = [types.FunctionResponse(id=call.id, name=call.name, response=S.weather) for call in calls]
    gave = types.Content(role="user", parts=[types.Part(function_response=response) for response in given])
    return [said("user", question), types.Content(role="model", parts=parts), gave]


def tools() -> dict[str, Any]:
    config: Any = {"tools": TOOLS, "automatic_function_calling": BY_HAND}
    one = ask(S.one_city, **config)
    after_one = ask(results(S.one_city, [one]), **config)
    two = streamed(S.two_cities, **config)
    after_two = streamed(results(S.two_cities, two), **config)
    return {"one": seen(one), "after one": seen(after_one), "two": seen(*two), "after two": seen(*after_two)}


def as_json() -> dict[str, Any]:
    answer = ask(S.json, response_mime_type="application/json", response_json_schema=S.schema)
    return {**seen(answer), "json": json.loads(answer.text)}


def errors() -> dict[str, Any]:
    def describe(error: Any) -> dict[str, Any]:
        details = error.details["error"].get("details") or []
        delays = [detail["retryDelay"] for detail in details if "retryDelay" in detail]
        return {"code": error.code, "status": error.status, "retry delay": delays}

    plain = failures(lambda model, text: ask(text, model), describe)
    return {"plain": plain, "streamed": failures(ask_streamed, describe)}


def ask_streamed(model: str, text: str) -> Any:
    return list(client.models.generate_content_stream(model=model, contents=text))


report(
    conversation=lambda: seen(ask(CONVERSATION, system_instruction=S.system, **LIMITS)),
    stream=lambda: seen(*streamed(CONVERSATION, system_instruction=S.system, **LIMITS)),
    tools=tools,
    json=as_json,
    errors=errors,
)
