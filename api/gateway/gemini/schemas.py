"""The addresses of Gemini's wire, as the OpenAPI document describes them."""

from api.openapi import (
    ASKED,
    IN_PATH,
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
    Schema,
    either,
    list_of,
    object_of,
    operation,
    parameter,
)

_ERROR = object_of(
    {
        "error": object_of(
            {"code": WHOLE, "message": TEXT, "status": TEXT, "details": list_of(OBJECT)}, "code", "message"
        )
    },
    "error",
)
_PART = object_of(
    {"text": TEXT, "inlineData": OBJECT, "fileData": OBJECT, "functionCall": OBJECT, "functionResponse": OBJECT}
)
_TURN = object_of({"role": {"enum": ["user", "model"]}, "parts": list_of(_PART)}, "parts")
_GENERATE = object_of(
    {
        "contents": list_of(_TURN, minItems=1),
        "systemInstruction": object_of({"parts": list_of(_PART)}),
        "generationConfig": object_of(
            {
                "temperature": {**NUMBER, "minimum": 0, "maximum": 2},
                "topP": {**NUMBER, "minimum": 0, "maximum": 1},
                "maxOutputTokens": {**WHOLE, "minimum": 1},
                "seed": WHOLE,
                "stopSequences": list_of(TEXT, maxItems=16),
                "frequencyPenalty": NUMBER,
                "presencePenalty": NUMBER,
                "responseMimeType": TEXT,
                "responseSchema": OBJECT,
                "responseJsonSchema": OBJECT,
                "thinkingConfig": object_of({"thinkingBudget": WHOLE, "thinkingLevel": TEXT}),
            }
        ),
        "tools": list_of(OBJECT),
        "toolConfig": OBJECT,
        "serviceTier": TEXT,
    },
    "contents",
)
_GENERATED = object_of(
    {
        "candidates": list_of(object_of({"content": OBJECT, "finishReason": TEXT, "index": WHOLE})),
        "usageMetadata": object_of(
            {"promptTokenCount": WHOLE, "candidatesTokenCount": WHOLE, "totalTokenCount": WHOLE}
        ),
        "modelVersion": TEXT,
        "responseId": TEXT,
    }
)
_COUNT = either(_GENERATE, object_of({"generateContentRequest": _GENERATE}, "generateContentRequest"))
_EMBED = object_of({"content": object_of({"parts": list_of(_PART)}, "parts"), "outputDimensionality": WHOLE}, "content")
_LISTED = object_of({"name": TEXT, "displayName": TEXT, "supportedGenerationMethods": list_of(TEXT)}, "name")


def paths() -> Schema:
    counted = object_of({"totalTokens": WHOLE}, "totalTokens")
    alt = parameter("alt", {"enum": ["sse"]}, "Streams are server-sent events.", "query") | {"required": True}
    models = "/gemini/v1beta/models"
    asked = [IN_PATH, *ASKED]
    return {
        models: {"get": operation("Models", object_of({"models": list_of(_LISTED)}, "models"), _ERROR)},
        f"{models}/{{model}}": {"get": operation("A model", _LISTED, _ERROR, parameters=[IN_PATH])},
        f"{models}/{{model}}:generateContent": {
            "post": operation("An answer", _GENERATED, _ERROR, body=_GENERATE, parameters=asked)
        },
        f"{models}/{{model}}:streamGenerateContent": {
            "post": operation(
                "An answer in chunks",
                _GENERATED,
                _ERROR,
                body=_GENERATE,
                parameters=[IN_PATH, alt, *ASKED],
                stream=True,
            )
        },
        f"{models}/{{model}}:embedContent": {
            "post": operation("A vector", object_of({"embedding": OBJECT}), _ERROR, body=_EMBED, parameters=asked)
        },
        f"{models}/{{model}}:batchEmbedContents": {
            "post": operation(
                "Vectors",
                object_of({"embeddings": list_of(OBJECT)}),
                _ERROR,
                body=object_of({"requests": list_of(_EMBED, minItems=1)}, "requests"),
                parameters=asked,
            )
        },
        f"{models}/{{model}}:countTokens": {
            "post": operation("Tokens of a prompt", counted, _ERROR, body=_COUNT, parameters=[IN_PATH])
        },
    }
