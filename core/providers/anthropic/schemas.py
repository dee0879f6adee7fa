"""JSON Schemas as Anthropic takes them for an answer: closed objects, and no bounds."""

from collections.abc import Mapping
from typing import Any

_ORDER = frozenset({"property_ordering", "propertyOrdering"})
_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_AS_IT_IS = frozenset({"enum", "const", "default", "examples", "required"})
# Words that the API refuses; a model that reads them in the description mostly keeps to them.
_BOUNDS = frozenset(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern minItems maxItems"
    " uniqueItems minProperties maxProperties".split()
)
_FORMATS = frozenset("date-time time date duration email hostname uri ipv4 ipv6 uuid".split())


def closed(schema: Any) -> Any:
    """The schema with objects closed, bounds and unknown formats in descriptions, and Gemini's order of properties left
    out."""
    if isinstance(schema, list | tuple):
        return [closed(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    found: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _NAMED and isinstance(value, Mapping):  # names of the team's own, not words of the schema
            found[name] = {each: closed(inner) for each, inner in value.items()}
        elif _is_refused(name, value):
            said[name] = value
        elif name in _AS_IT_IS:
            found[name] = value
        elif name not in _ORDER:
            found["anyOf" if name == "oneOf" else name] = closed(value)
    if found.get("type") == "object" or "properties" in found:
        found["additionalProperties"] = False
    if said:
        bounds = ", ".join(f"{name}: {value}" for name, value in said.items())
        found["description"] = f"{found.get('description', '')}\n\n{{{bounds}}}".strip()
    return found


def _is_refused(name: str, value: Any) -> bool:
    if name == "minItems":
        return value not in (0, 1)
    return name in _BOUNDS or (name == "format" and value not in _FORMATS)


def has_map(schema: Any) -> bool:
    """True if an object in the schema may have names of any kind, which a closed one never has."""
    if isinstance(schema, list | tuple):
        return any(has_map(each) for each in schema)
    if not isinstance(schema, Mapping):
        return False
    others = schema.get("additionalProperties", "properties" not in schema)
    is_open = isinstance(others, Mapping) or (others is True and not schema.get("properties"))
    if schema.get("type") == "object" and is_open:
        return True
    return any(
        has_map(tuple(value.values()) if name in _NAMED and isinstance(value, Mapping) else value)
        for name, value in schema.items()
        if name not in _AS_IT_IS
    )
