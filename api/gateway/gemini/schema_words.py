"""Gemini's own schemas as JSON Schemas."""

import re
from collections.abc import Mapping
from typing import Any

_CAMEL = {
    word: re.sub("_([a-z])", lambda found: found[1].upper(), word)
    for word in "any_of one_of all_of min_items max_items min_length max_length min_properties max_properties"
    " property_ordering additional_properties prefix_items".split()
} | {"defs": "$defs", "ref": "$ref"}  # fmt: skip
_NUMBERS = frozenset("minItems maxItems minLength maxLength minProperties maxProperties minimum maximum".split())
_NAMED = frozenset({"properties", "$defs"})
_AS_IT_IS = frozenset({"enum", "required", "default", "example", "title", "description", "pattern"})


def to_json_schema(schema: Any) -> Any:
    """The schema with types in small letters, in JSON Schema's words: `nullable` is a type, whole numbers are no texts,
    and the order of properties is the one in which they stand."""
    if isinstance(schema, list):
        return [to_json_schema(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    for name, value in schema.items():
        word = str(_CAMEL.get(name, name))
        if word == "type":
            found[word] = [str(each).lower() for each in value] if isinstance(value, list) else str(value).lower()
        elif word in _NAMED and isinstance(value, Mapping):
            found[word] = {each: to_json_schema(inner) for each, inner in value.items()}
        elif word in _NUMBERS and isinstance(value, str):
            found[word] = int(value) if value.lstrip("-").isdecimal() else value
        elif word in _AS_IT_IS:
            found[word] = value
        elif not (word == "format" and value == "enum"):
            found[word] = to_json_schema(value)
    if isinstance(order := found.pop("propertyOrdering", None), list) and isinstance(found.get("properties"), dict):
        properties = found["properties"]
        found["properties"] = {each: properties[each] for each in order if each in properties} | properties
    return _with_null(found) if found.pop("nullable", False) is True else found


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    elif isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [*schema["enum"], None]
    return schema
