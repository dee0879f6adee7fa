"""The OpenAPI document of all addresses: those of /api as FastAPI knows them, the wires' own, and words to write these.

The gateway passes on what it does not know, so its bodies name the fields that are read and leave the rest open.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.gateway.wire import Wire

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
YES_NO: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object", "additionalProperties": True}
MODEL: Schema = {
    "type": "string", "minLength": 1, "maxLength": 200,
    "description": "A model, vendor/model, an alias, or exp:NAME for a running experiment.",
}  # fmt: skip
# The meaning of each status, the same for all wires. Some are there only because those of a vendor are quoted.
_FAILURES = {
    400: "The body is not JSON, or asks for what cannot be; the call's cap is too small for it;"
    " the prompt is too long.",
    401: "A key is missing or wrong, ours or the vendor's.",
    403: "The key may not do this, or may not ask this model.",
    404: "There is no such address or model.",
    405: "The address takes other methods; Allow names them.",
    409: "The experiment has been stopped, or an Idempotency-Key came with another body.",
    413: "The body is larger than AIMM_MAX_BODY_MIB says: 32 MiB.",
    415: "The body's Content-Encoding is not read.",
    422: "The vendor's own.",
    429: "x-aimm-reason says which: budget_exceeded, rate_limited (the key's, or too many at once),"
    " upstream_rate_limited.",
    500: "The vendor's own.",
    502: "The vendor's answer cannot be read, or broke off.",
    503: "The vendor is down; or a fault here.",
    504: "No answer within the deadline.",
}


def object_of(properties: Mapping[str, Schema], *required: str, **more: Any) -> Schema:
    whole: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": True, **more}
    return whole | ({"required": list(required)} if required else {})


def list_of(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


_HEADERS = (
    ("x-aimm-user", {**TEXT, "maxLength": 500}, "Who asks: for spend by user, and the unit of an experiment."),
    ("x-aimm-session", {**TEXT, "maxLength": 200}, "The conversation or run that the call is counted to."),
    ("x-aimm-tags", TEXT, "For spend and budgets by tag: up to ten words, by commas."),
    ("x-aimm-fallbacks", TEXT, "Models to ask in turn where this one fails, by commas."),
    ("x-aimm-cap-usd", TEXT, "The most that this call may cost."),
    ("x-aimm-cache", TEXT, "For how many seconds a response may be cached; no = not at all."),
    ("x-aimm-no-store", TEXT, "1: neither the prompt nor the answer is kept."),
    ("traceparent", TEXT, "The caller's trace (W3C)."),
)


def parameter(name: str, schema: Schema, told: str, place: str = "header") -> Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": told}


IN_PATH = parameter("model", MODEL, "Its slashes may be written as %2F.", "path")
ASKED = [parameter(*header) for header in _HEADERS]


def operation(summary: str, answer: Schema, error: Schema, **more: Any) -> Schema:
    """body: the schema of the request; form: the same as a form. parameters. stream: whether events may be the answer,
    too. others: further types of an answer, which is no JSON then."""
    content: Schema = {"application/json": {"schema": answer}} | {kind: {} for kind in more.get("others", ())}
    if more.get("stream"):
        content["text/event-stream"] = {}
    failures = {
        str(status): {"description": told, "content": {"application/json": {"schema": error}}}
        for status, told in _FAILURES.items()
    }
    operation: Schema = {
        "summary": summary,
        "tags": ["gateway"],
        "parameters": list(more.get("parameters", ())),
        "responses": {"200": {"description": "The answer", "content": content}, **failures},
    }
    kinds = {"application/json": "body", "multipart/form-data": "form"}
    if taken := {kind: {"schema": more[name]} for kind, name in kinds.items() if name in more}:
        operation["requestBody"] = {"required": True, "content": taken}
    return operation


def document(api: Mapping[str, Any], wires: Iterable["Wire"]) -> Schema:
    """`api`, FastAPI's document of /api, with all else beside it; it is not changed."""
    wires = tuple(wires)
    keys: dict[str, Schema] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A key of this server: aimm_…"}
    }
    for name in ("x-api-key", *(header.decode() for wire in wires for header in wire.key_headers)):
        keys[name] = {"type": "apiKey", "in": "header", "name": name}
    own = {path: methods for wire in wires for path, methods in wire.paths().items()}
    return {
        **api,
        "paths": {**own, **{f"/api{path}": methods for path, methods in api["paths"].items()}},
        "components": {**api.get("components", {}), "securitySchemes": keys},
        "security": [{}, *({name: []} for name in keys)],  # on this machine no key is needed
    }
