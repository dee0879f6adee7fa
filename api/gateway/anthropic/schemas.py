"""The addresses of Anthropic's wire, as the OpenAPI document describes them."""

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
)

_ERROR = object_of(
    {"type": {"enum": ["error"]}, "error": object_of({"type": TEXT, "message": TEXT}, "type", "message")}, "error"
)
_BLOCKS = either(TEXT, list_of(object_of({"type": TEXT}, "type")))
_ASKED = {
    "model": MODEL,
    "messages": list_of(object_of({"role": TEXT, "content": _BLOCKS}, "role", "content"), minItems=1),
    "system": maybe(_BLOCKS),
    "tools": maybe(list_of(OBJECT)),
    "tool_choice": maybe(OBJECT),
    "thinking": maybe(OBJECT),
    "output_config": maybe(OBJECT),
}
_MESSAGE = object_of(
    {
        **_ASKED,
        "max_tokens": maybe({**WHOLE, "minimum": 1}),
        "stream": maybe(YES_NO),
        "temperature": maybe({**NUMBER, "minimum": 0, "maximum": 1}),
        "top_p": maybe({**NUMBER, "minimum": 0, "maximum": 1}),
        "stop_sequences": maybe(list_of(TEXT)),
        "metadata": maybe(OBJECT),
    },
    "model",
    "messages",
)
_ANSWER = object_of(
    {
        "id": TEXT,
        "type": {"enum": ["message"]},
        "role": {"enum": ["assistant"]},
        "model": TEXT,
        "content": list_of(object_of({"type": TEXT}, "type")),
        "stop_reason": maybe(TEXT),
        "usage": object_of({"input_tokens": WHOLE, "output_tokens": WHOLE}),
    },
    "content",
)


def paths() -> Schema:
    counted = object_of({"input_tokens": WHOLE}, "input_tokens")
    return {
        "/v1/messages": {"post": operation("Messages", _ANSWER, _ERROR, body=_MESSAGE, parameters=ASKED, stream=True)},
        "/v1/messages/count_tokens": {
            "post": operation("Tokens of a message", counted, _ERROR, body=object_of(_ASKED, "model", "messages"))
        },
    }
