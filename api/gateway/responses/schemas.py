"""The addresses of Responses, as the OpenAPI document describes them."""

from api.gateway.openai.schemas import ERROR
from api.openapi import (
    ASKED,
    MODEL,
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
    YES_NO,
    Schema,
    either,
    list_of,
    maybe,
    object_of,
    operation,
    parameter,
)

_INPUT = maybe(either(TEXT, list_of(OBJECT)))
_BODY = object_of(
    {
        "model": MODEL,
        "input": _INPUT,
        "instructions": maybe(TEXT),
        "stream": maybe(YES_NO),
        "max_output_tokens": maybe({**WHOLE, "minimum": 1}),
        "temperature": maybe({**NUMBER, "minimum": 0, "maximum": 2}),
        "top_p": maybe({**NUMBER, "minimum": 0, "maximum": 1}),
        "tools": maybe(list_of(OBJECT)),
        "tool_choice": maybe(either(TEXT, OBJECT)),
        "parallel_tool_calls": maybe(YES_NO),
        "reasoning": maybe(OBJECT),
        "text": maybe(OBJECT),
        "include": maybe(list_of(TEXT)),
        "store": {**maybe(YES_NO), "description": "Whether later requests may refer to it; true unless it says false."},
        "previous_response_id": maybe(TEXT),
    },
    "model",
)
_RESPONSE = object_of(
    {
        "id": TEXT,
        "object": {"enum": ["response"]},
        "status": TEXT,
        "model": TEXT,
        "output": list_of(object_of({"type": TEXT}, "type")),
        "usage": maybe(OBJECT),
    },
    "id",
    "object",
)


def paths() -> Schema:
    by_id = [parameter("response_id", TEXT, "The id of a response.", "path")]
    deleted = object_of({"id": TEXT, "object": TEXT, "deleted": YES_NO}, "id")
    items = object_of({"object": {"enum": ["list"]}, "data": list_of(OBJECT), "has_more": YES_NO}, "data")
    counted = object_of({"object": TEXT, "input_tokens": WHOLE}, "input_tokens")
    return {
        "/v1/responses": {
            "post": operation("Responses", _RESPONSE, ERROR, body=_BODY, parameters=ASKED, stream=True),
        },
        "/v1/responses/input_tokens": {"post": operation("Tokens of a request", counted, ERROR, body=_BODY)},
        "/v1/responses/{response_id}": {
            "get": operation("A response that is kept", _RESPONSE, ERROR, parameters=by_id),
            "delete": operation("Forget it", deleted, ERROR, parameters=by_id),
        },
        "/v1/responses/{response_id}/input_items": {
            "get": operation("The items it was given to", items, ERROR, parameters=by_id)
        },
    }
