"""The addresses of the OpenAI wire, as the OpenAPI document describes them."""

from api.openapi import (
    ASKED,
    IN_PATH,
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

ERROR = object_of(
    {"error": object_of({"message": TEXT, "type": TEXT, "param": maybe(TEXT), "code": maybe(TEXT)}, "message")}, "error"
)
_CONTENT = maybe(either(TEXT, list_of(object_of({"type": TEXT}, "type"))))
_MESSAGE = object_of(
    {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": _CONTENT,
        "tool_calls": maybe(list_of(OBJECT)),
        "tool_call_id": TEXT,
    },
    "role",
)
_CHAT = object_of(
    {
        "model": MODEL,
        "messages": list_of(_MESSAGE, minItems=1),
        "stream": maybe(YES_NO),
        "stream_options": maybe(object_of({"include_usage": maybe(YES_NO)})),
        "temperature": maybe({**NUMBER, "minimum": 0, "maximum": 2}),
        "top_p": maybe({**NUMBER, "minimum": 0, "maximum": 1}),
        "max_tokens": maybe({**WHOLE, "minimum": 1}),
        "max_completion_tokens": maybe({**WHOLE, "minimum": 1}),
        "seed": maybe(WHOLE),
        "stop": maybe(either(TEXT, list_of(TEXT, maxItems=16))),
        "frequency_penalty": maybe(NUMBER),
        "presence_penalty": maybe(NUMBER),
        "n": maybe({**WHOLE, "minimum": 1}),
        "reasoning_effort": maybe(TEXT),
        "response_format": maybe(object_of({"type": {"enum": ["text", "json_object", "json_schema"]}})),
        "service_tier": maybe(TEXT),
        "tools": maybe(list_of(object_of({"type": TEXT, "function": OBJECT}, "function"))),
        "tool_choice": maybe(either(TEXT, OBJECT)),
        "user": maybe({**TEXT, "maxLength": 500}),
        "fallbacks": maybe(list_of(MODEL)),
    },
    "model",
    "messages",
)
_USAGE = object_of({"prompt_tokens": WHOLE, "completion_tokens": WHOLE, "total_tokens": WHOLE})
_COMPLETION = object_of(
    {
        "id": TEXT,
        "object": {"enum": ["chat.completion"]},
        "created": WHOLE,
        "model": TEXT,
        "choices": list_of(
            object_of(
                {"index": WHOLE, "message": object_of({"role": TEXT, "content": _CONTENT}), "finish_reason": TEXT}
            )
        ),
        "usage": _USAGE,
    },
    "choices",
)
_EMBED = object_of(
    {
        "model": MODEL,
        "input": either(
            {**TEXT, "minLength": 1},
            list_of(either({**TEXT, "minLength": 1}, WHOLE, list_of(WHOLE, minItems=1)), minItems=1, maxItems=2048),
        ),
        "dimensions": maybe({**WHOLE, "minimum": 1}),
        "encoding_format": {"enum": ["float", "base64", None]},
        "user": maybe({**TEXT, "maxLength": 500}),
    },
    "model",
    "input",
)
_VECTORS = object_of(
    {
        "data": list_of(object_of({"index": WHOLE, "embedding": either(list_of(NUMBER), TEXT)}, "embedding")),
        "model": TEXT,
        "usage": _USAGE,
    },
    "data",
)
_FILE = {**TEXT, "format": "binary"}
_PICTURES = object_of({"data": list_of(object_of({"b64_json": TEXT, "url": TEXT})), "usage": maybe(OBJECT)})
_DRAWN = {
    "model": MODEL,
    "prompt": TEXT,
    "n": maybe({**WHOLE, "minimum": 1}),
    "size": maybe(TEXT),
    "quality": maybe(TEXT),
}
_EDITED = object_of({**_DRAWN, "image": _FILE, "mask": _FILE, "stream": TEXT}, "model")
_SPOKEN = object_of({"model": MODEL, "input": TEXT, "response_format": TEXT, "stream_format": TEXT}, "model", "input")
_HEARD = object_of({"model": MODEL, "file": _FILE, "response_format": TEXT, "prompt": TEXT, "stream": TEXT}, "model")
_TEXTS = object_of({"text": TEXT, "usage": maybe(OBJECT)}, "text")
_JUDGE = object_of({"model": MODEL, "input": either(TEXT, list_of(either(TEXT, OBJECT)))}, "input")
_JUDGED = object_of({"results": list_of(object_of({"flagged": YES_NO, "categories": OBJECT}))})
_COMPLETE = object_of(
    {
        "model": MODEL,
        "prompt": maybe(either(TEXT, list_of(either(TEXT, WHOLE, list_of(WHOLE))))),
        "stream": maybe(YES_NO),
        "max_tokens": maybe(WHOLE),
        "n": maybe(WHOLE),
        "best_of": maybe(WHOLE),
    },
    "model",
)
_COMPLETED = object_of(
    {"choices": list_of(object_of({"index": WHOLE, "text": TEXT})), "usage": maybe(OBJECT)}, "choices"
)
_LISTED = object_of({"id": TEXT, "object": {"enum": ["model"]}, "created": WHOLE, "owned_by": TEXT}, "id", "object")
_FEEDBACK = object_of(
    {
        "generation_id": {**TEXT, "description": "x-aimm-request-id of the answer."},
        "assignment_id": {**TEXT, "description": "x-aimm-assignment of the answer."},
        "thumb": maybe({**TEXT, "enum": ["up", "down"]}),
        "user": maybe(
            {**TEXT, "maxLength": 500, "description": "Whose opinion it is; the same one's later one takes its place."}
        ),
        "success": maybe(YES_NO),
        "rating": maybe({**NUMBER, "minimum": 1, "maximum": 5}),
        "number": maybe(NUMBER),
        "text": maybe({**TEXT, "maxLength": 20_000}),
    },
    description="What became of an answer; it names it by generation_id or assignment_id.",
)


# By address: what it does, its answer, and what it takes and may answer besides.
_HANDED_ON: dict[str, tuple[str, Schema, Schema]] = {
    "/completions": ("Completions of a text", _COMPLETED, {"body": _COMPLETE, "stream": True}),
    "/moderations": ("What a text or a picture may be flagged for", _JUDGED, {"body": _JUDGE}),
    "/images/generations": ("Pictures", _PICTURES, {"body": object_of(_DRAWN, "model", "prompt"), "stream": True}),
    "/images/edits": (
        "Edits of pictures",
        _PICTURES,
        {"form": _EDITED, "body": object_of(_DRAWN, "model"), "stream": True},
    ),
    "/images/variations": ("Variations of a picture", _PICTURES, {"form": _EDITED}),
    "/audio/speech": ("Speech", OBJECT, {"body": _SPOKEN, "stream": True, "others": ("audio/*",)}),
    "/audio/transcriptions": ("What is said", _TEXTS, {"form": _HEARD, "stream": True, "others": ("text/plain",)}),
    "/audio/translations": ("What is said, in English", _TEXTS, {"form": _HEARD, "others": ("text/plain",)}),
}


def paths() -> Schema:
    models = object_of({"object": {"enum": ["list"]}, "data": list_of(_LISTED)}, "object", "data")
    recorded = object_of({"object": {"enum": ["feedback"]}, "id": TEXT, "state": TEXT}, "object", "id", "state")
    once = parameter("Idempotency-Key", {**TEXT, "maxLength": 255}, "Sent twice with one body, it is recorded once.")
    return {
        "/v1/chat/completions": {
            "post": operation("Chat", _COMPLETION, ERROR, body=_CHAT, parameters=ASKED, stream=True)
        },
        "/v1/embeddings": {"post": operation("Embeddings", _VECTORS, ERROR, body=_EMBED, parameters=ASKED)},
        **{
            f"/v1{path}": {"post": operation(told, answer, ERROR, parameters=ASKED, **kinds)}
            for path, (told, answer, kinds) in _HANDED_ON.items()
        },
        "/v1/models": {"get": operation("Models, aliases and running experiments", models, ERROR)},
        "/v1/models/{model}": {"get": operation("One of them", _LISTED, ERROR, parameters=[IN_PATH])},
        "/v1/feedback": {
            "post": operation("What became of an answer", recorded, ERROR, body=_FEEDBACK, parameters=[once])
        },
    }
