"""The OpenAPI document of all addresses: those of /api as FastAPI knows them, the gateway's and the server's written by hand.

The gateway passes on what it does not know, so its bodies name the fields that are read and leave the rest open.
"""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_YES_NO: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object", "additionalProperties": True}
_MODEL: Schema = {
    "type": "string", "minLength": 1, "maxLength": 200,
    "description": "A model, vendor/model, an alias, or exp:NAME for a running experiment.",
}  # fmt: skip
# What each status means, the same for both wires. Those of a vendor are quoted, so that some are there for its sake only.
_FAILURES = {
    400: "The body is not JSON, or asks for what cannot be; the call's cap is too small for it; the prompt is too long.",
    401: "A key is missing or wrong, ours or the vendor's.",
    403: "The key may not do this, or may not ask this model.",
    404: "There is no such address or model.",
    409: "The experiment has been stopped, or an Idempotency-Key came with another body.",
    413: "The body is larger than 8 MiB.",
    422: "The vendor's own.",
    429: "x-aimm-reason says which: budget_exceeded, rate_limited (the key's, or too many at once), upstream_rate_limited.",
    500: "The vendor's own.",
    502: "The vendor's answer cannot be read, or broke off.",
    503: "The vendor is down; or a fault here.",
    504: "No answer within the deadline.",
}


def _object(properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    whole: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": True, **more}
    return whole | ({"required": list(required)} if required else {})


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


_OPENAI_ERROR = _object(
    {"error": _object({"message": _TEXT, "type": _TEXT, "param": _maybe(_TEXT), "code": _maybe(_TEXT)}, "message")},
    "error",
)
_GEMINI_ERROR = _object(
    {"error": _object({"code": _WHOLE, "message": _TEXT, "status": _TEXT, "details": _list(_OBJECT)}, "code", "message")},
    "error",
)  # fmt: skip

_CONTENT = _maybe(_either(_TEXT, _list(_object({"type": _TEXT}, "type"))))
_MESSAGE = _object(
    {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": _CONTENT,
        "tool_calls": _maybe(_list(_OBJECT)),
        "tool_call_id": _TEXT,
    },
    "role",
)
_CHAT = _object(
    {
        "model": _MODEL,
        "messages": _list(_MESSAGE, minItems=1),
        "stream": _maybe(_YES_NO),
        "stream_options": _maybe(_object({"include_usage": _maybe(_YES_NO)})),
        "temperature": _maybe({**_NUMBER, "minimum": 0, "maximum": 2}),
        "top_p": _maybe({**_NUMBER, "minimum": 0, "maximum": 1}),
        "max_tokens": _maybe({**_WHOLE, "minimum": 1}),
        "max_completion_tokens": _maybe({**_WHOLE, "minimum": 1}),
        "seed": _maybe(_WHOLE),
        "stop": _maybe(_either(_TEXT, _list(_TEXT, maxItems=16))),
        "frequency_penalty": _maybe(_NUMBER),
        "presence_penalty": _maybe(_NUMBER),
        "n": {"enum": [1, None]},
        "reasoning_effort": _maybe(_TEXT),
        "response_format": _maybe(_object({"type": {"enum": ["text", "json_object", "json_schema"]}})),
        "service_tier": _maybe(_TEXT),
        "tools": _maybe(_list(_object({"type": _TEXT, "function": _OBJECT}, "function"))),
        "tool_choice": _maybe(_either(_TEXT, _OBJECT)),
        "user": _maybe({**_TEXT, "maxLength": 500}),
        "fallbacks": _maybe(_list(_MODEL)),
    },
    "model",
    "messages",
)
_USAGE = _object({"prompt_tokens": _WHOLE, "completion_tokens": _WHOLE, "total_tokens": _WHOLE})
_COMPLETION = _object(
    {
        "id": _TEXT,
        "object": {"enum": ["chat.completion"]},
        "created": _WHOLE,
        "model": _TEXT,
        "choices": _list(
            _object({"index": _WHOLE, "message": _object({"role": _TEXT, "content": _CONTENT}), "finish_reason": _TEXT})
        ),
        "usage": _USAGE,
    },
    "choices",
)
_EMBED = _object(
    {
        "model": _MODEL,
        "input": _either(
            {**_TEXT, "minLength": 1},
            _list(_either({**_TEXT, "minLength": 1}, _WHOLE, _list(_WHOLE, minItems=1)), minItems=1, maxItems=2048),
        ),
        "dimensions": _maybe({**_WHOLE, "minimum": 1}),
        "encoding_format": {"enum": ["float", "base64", None]},
        "user": _maybe({**_TEXT, "maxLength": 500}),
    },
    "model",
    "input",
)
_VECTORS = _object(
    {
        "data": _list(_object({"index": _WHOLE, "embedding": _either(_list(_NUMBER), _TEXT)}, "embedding")),
        "model": _TEXT,
        "usage": _USAGE,
    },
    "data",
)
_OPENAI_MODEL = _object(
    {"id": _TEXT, "object": {"enum": ["model"]}, "created": _WHOLE, "owned_by": _TEXT}, "id", "object"
)
_FEEDBACK = _object(
    {
        "generation_id": {**_TEXT, "description": "x-aimm-request-id of the answer."},
        "assignment_id": {**_TEXT, "description": "x-aimm-assignment of the answer."},
        "thumb": _maybe({**_TEXT, "enum": ["up", "down"]}),
        "user": _maybe(
            {**_TEXT, "maxLength": 500, "description": "Whose opinion it is; the same one's later one takes its place."}
        ),
        "success": _maybe(_YES_NO),
        "rating": _maybe({**_NUMBER, "minimum": 1, "maximum": 5}),
        "number": _maybe(_NUMBER),
        "text": _maybe({**_TEXT, "maxLength": 20_000}),
    },
    description="What became of an answer; it names it by generation_id or assignment_id.",
)

_PART = _object({"text": _TEXT, "inlineData": _OBJECT, "fileData": _OBJECT, "functionCall": _OBJECT, "functionResponse": _OBJECT})  # fmt: skip
_TURN = _object({"role": {"enum": ["user", "model"]}, "parts": _list(_PART)}, "parts")
_GENERATE = _object(
    {
        "contents": _list(_TURN, minItems=1),
        "systemInstruction": _object({"parts": _list(_PART)}),
        "generationConfig": _object(
            {
                "temperature": {**_NUMBER, "minimum": 0, "maximum": 2},
                "topP": {**_NUMBER, "minimum": 0, "maximum": 1},
                "maxOutputTokens": {**_WHOLE, "minimum": 1},
                "seed": _WHOLE,
                "stopSequences": _list(_TEXT, maxItems=16),
                "frequencyPenalty": _NUMBER,
                "presencePenalty": _NUMBER,
                "responseMimeType": _TEXT,
                "responseSchema": _OBJECT,
                "responseJsonSchema": _OBJECT,
                "thinkingConfig": _object({"thinkingBudget": _WHOLE, "thinkingLevel": _TEXT}),
            }
        ),
        "tools": _list(_OBJECT),
        "toolConfig": _OBJECT,
        "serviceTier": _TEXT,
    },
    "contents",
)
_GENERATED = _object(
    {
        "candidates": _list(_object({"content": _OBJECT, "finishReason": _TEXT, "index": _WHOLE})),
        "usageMetadata": _object(
            {"promptTokenCount": _WHOLE, "candidatesTokenCount": _WHOLE, "totalTokenCount": _WHOLE}
        ),
        "modelVersion": _TEXT,
        "responseId": _TEXT,
    }
)
_COUNT = _either(_GENERATE, _object({"generateContentRequest": _GENERATE}, "generateContentRequest"))
_GEMINI_MODEL = _object({"name": _TEXT, "displayName": _TEXT, "supportedGenerationMethods": _list(_TEXT)}, "name")

_HEADERS = (
    ("x-aimm-user", {**_TEXT, "maxLength": 500}, "Who asks: for spend by user, and the unit of an experiment."),
    ("x-aimm-tags", _TEXT, "For spend and budgets by tag: up to ten words, by commas."),
    ("x-aimm-fallbacks", _TEXT, "Models to ask in turn where this one fails, by commas."),
    ("x-aimm-cap-usd", _TEXT, "The most that this call may cost."),
    ("x-aimm-cache", _TEXT, "For how many seconds an answer may be kept and given again; no = not at all."),
    ("x-aimm-no-store", _TEXT, "1: neither the prompt nor the answer is kept."),
    ("traceparent", _TEXT, "The caller's trace (W3C)."),
)


def _parameter(name: str, schema: Schema, told: str, place: str = "header") -> Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": told}


_IN_PATH = _parameter("model", _MODEL, "Its slashes may be written as %2F.", "path")


def _operation(summary: str, answer: Schema, error: Schema, **more: Any) -> Schema:
    """body: the schema of the request. parameters. stream: whether events may be the answer, too."""
    content: Schema = {"application/json": {"schema": answer}}
    if more.get("stream"):
        content["text/event-stream"] = {}
    failures = {
        str(status): {
            "description": told,
            "content": {"application/json": {"schema": error}},
        }
        for status, told in _FAILURES.items()
    }
    operation: Schema = {
        "summary": summary,
        "tags": ["gateway"],
        "parameters": list(more.get("parameters", ())),
        "responses": {"200": {"description": "The answer", "content": content}, **failures},
    }
    if "body" in more:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": more["body"]}}}
    return operation


def _paths() -> Schema:
    asked = [_parameter(*header) for header in _HEADERS]
    models = _object({"object": {"enum": ["list"]}, "data": _list(_OPENAI_MODEL)}, "object", "data")
    recorded = _object({"object": {"enum": ["feedback"]}, "id": _TEXT, "state": _TEXT}, "object", "id", "state")
    once = _parameter("Idempotency-Key", {**_TEXT, "maxLength": 255}, "Sent twice with one body, it is recorded once.")
    counted = _object({"totalTokens": _WHOLE}, "totalTokens")
    alt = _parameter("alt", {"enum": ["sse"]}, "Streams are server-sent events.", "query") | {"required": True}
    gemini = "/gemini/v1beta/models"
    return {
        "/v1/chat/completions": {
            "post": _operation("Chat", _COMPLETION, _OPENAI_ERROR, body=_CHAT, parameters=asked, stream=True)
        },
        "/v1/embeddings": {"post": _operation("Embeddings", _VECTORS, _OPENAI_ERROR, body=_EMBED, parameters=asked)},
        "/v1/models": {"get": _operation("Models, aliases and running experiments", models, _OPENAI_ERROR)},
        "/v1/models/{model}": {"get": _operation("One of them", _OPENAI_MODEL, _OPENAI_ERROR, parameters=[_IN_PATH])},
        "/v1/feedback": {
            "post": _operation(
                "What became of an answer", recorded, _OPENAI_ERROR, body=_FEEDBACK, parameters=[once]
            )
        },
        gemini: {"get": _operation("Models", _object({"models": _list(_GEMINI_MODEL)}, "models"), _GEMINI_ERROR)},
        f"{gemini}/{{model}}": {"get": _operation("A model", _GEMINI_MODEL, _GEMINI_ERROR, parameters=[_IN_PATH])},
        f"{gemini}/{{model}}:generateContent": {
            "post": _operation("An answer", _GENERATED, _GEMINI_ERROR, body=_GENERATE, parameters=[_IN_PATH, *asked])
        },
        f"{gemini}/{{model}}:streamGenerateContent": {
            "post": _operation(
                "An answer piece by piece", _GENERATED, _GEMINI_ERROR,
                body=_GENERATE, parameters=[_IN_PATH, alt, *asked], stream=True,
            )
        },
        f"{gemini}/{{model}}:countTokens": {
            "post": _operation("Tokens of a prompt", counted, _GEMINI_ERROR, body=_COUNT, parameters=[_IN_PATH])
        },
    }  # fmt: skip


def document(api: Mapping[str, Any]) -> Schema:
    """`api`, FastAPI's document of what is under /api, with all else beside it; it is not changed."""
    components = {
        **api.get("components", {}),
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key of this server: aimm_…"},
            "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "x-goog-api-key": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
        },
    }
    return {
        **api,
        "paths": {**_paths(), **{f"/api{path}": operations for path, operations in api["paths"].items()}},
        "components": components,
        # On this machine no key is needed.
        "security": [{}, {"bearer": []}, {"x-api-key": []}, {"x-goog-api-key": []}],
    }
