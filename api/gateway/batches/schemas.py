"""The addresses of files and batches, as the OpenAPI document describes them."""

from api.openapi import OBJECT, TEXT, WHOLE, Schema, list_of, maybe, object_of, operation, parameter

_ERROR = object_of(
    {"error": object_of({"message": TEXT, "type": TEXT, "param": maybe(TEXT), "code": maybe(TEXT)}, "message")}, "error"
)
_FILE = object_of(
    {
        "id": TEXT,
        "object": {"enum": ["file"]},
        "bytes": WHOLE,
        "created_at": WHOLE,
        "expires_at": WHOLE,
        "filename": TEXT,
        "purpose": {"enum": ["batch", "batch_output"]},
        "status": TEXT,
    },
    "id",
    "object",
)
_LIFE = maybe(
    object_of({"anchor": {"enum": ["created_at"]}, "seconds": {**WHOLE, "minimum": 3600, "maximum": 2592000}})
)
_COUNTS = object_of({"total": WHOLE, "completed": WHOLE, "failed": WHOLE})
_FAULT = object_of({"code": TEXT, "message": TEXT, "line": maybe(WHOLE), "param": maybe(TEXT)})
_PHASES = "validating failed in_progress finalizing completed expired cancelling cancelled".split()
_BATCH = object_of(
    {
        "id": TEXT,
        "object": {"enum": ["batch"]},
        "endpoint": TEXT,
        "model": maybe(TEXT),
        "errors": maybe(object_of({"object": TEXT, "data": list_of(_FAULT)})),
        "input_file_id": TEXT,
        "completion_window": TEXT,
        "status": {"enum": _PHASES},
        "output_file_id": maybe(TEXT),
        "error_file_id": maybe(TEXT),
        "created_at": WHOLE,
        "request_counts": _COUNTS,
        "usage": maybe(OBJECT),
        "metadata": maybe(OBJECT),
        "service_tier": {**TEXT, "description": "batch: its vendor's own batch answers it; default: asked one by one."},
        "vendor_batch_id": maybe(TEXT),
        "cost_usd": maybe({**TEXT, "description": "Of all its calls, once it has ended; null = not known."}),
    },
    "id",
    "object",
    "status",
)
_CREATE = object_of(
    {
        "input_file_id": {**TEXT, "minLength": 1},
        "endpoint": {**TEXT, "minLength": 1},
        "completion_window": {"enum": ["24h"]},
        "metadata": maybe({**OBJECT, "maxProperties": 16, "additionalProperties": {**TEXT, "maxLength": 512}}),
        "output_expires_after": _LIFE,
    },
    "input_file_id",
    "endpoint",
    "completion_window",
)
_DELETED = object_of({"id": TEXT, "object": {"enum": ["file"]}, "deleted": {"enum": [True]}}, "id", "object", "deleted")
_FORM = object_of({"purpose": {"enum": ["batch"]}, "file": {**TEXT, "format": "binary"}}, "purpose", "file")


def paths() -> Schema:
    after, order = (
        parameter(name, TEXT, told, "query") for name, told in (("after", "An id."), ("order", "asc or desc."))
    )
    few, many = (parameter("limit", {**WHOLE, "minimum": 1, "maximum": n}, "At most.", "query") for n in (100, 10_000))
    file_id, batch_id = (parameter(name, TEXT, "", "path") for name in ("file_id", "batch_id"))
    sent = operation("Keep a file of requests", _FILE, _ERROR)
    sent["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
    content = operation("The bytes of a file", TEXT, _ERROR, parameters=[file_id])
    content["responses"]["200"]["content"] = {"application/octet-stream": {}}
    purpose = parameter("purpose", TEXT, "batch or batch_output.", "query")
    return {
        "/v1/files": {
            "post": sent,
            "get": operation("Files", _list_of(_FILE), _ERROR, parameters=[after, many, order, purpose]),
        },
        "/v1/files/{file_id}": {
            "get": operation("A file", _FILE, _ERROR, parameters=[file_id]),
            "delete": operation("Delete a file", _DELETED, _ERROR, parameters=[file_id]),
        },
        "/v1/files/{file_id}/content": {"get": content},
        "/v1/batches": {
            "post": operation("Begin a batch", _BATCH, _ERROR, body=_CREATE),
            "get": operation("Batches", _list_of(_BATCH), _ERROR, parameters=[after, few]),
        },
        "/v1/batches/{batch_id}": {"get": operation("A batch", _BATCH, _ERROR, parameters=[batch_id])},
        "/v1/batches/{batch_id}/cancel": {"post": operation("Ask no more", _BATCH, _ERROR, parameters=[batch_id])},
    }


def _list_of(item: Schema) -> Schema:
    parts = {"object": {"enum": ["list"]}, "data": list_of(item), "first_id": maybe(TEXT), "last_id": maybe(TEXT)}
    return object_of({**parts, "has_more": {"type": "boolean"}}, "object", "data")
