"""JSON Schemas as vendors want them of tools and answers. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from core.domain.generation import Native, Request
from core.formats import strict_json as json

_UNIONS = ("anyOf", "oneOf", "allOf")
# Words of which every vendor that holds calls to their schemas knows what they mean.
_STRICT = frozenset(
    "type properties required additionalProperties items enum const anyOf description title $defs $ref".split()
)


def is_closed(schema: Any) -> bool:
    """True where an answer can be held to the schema: every object is closed, and all its properties are required."""
    if isinstance(schema, list | tuple):
        return all(map(is_closed, schema))
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties", {})
    if schema.get("type") == "object" or properties:
        if schema.get("additionalProperties") is not False or not isinstance(properties, Mapping):
            return False
        if set(schema.get("required", ())) != set(properties):
            return False
    inner = (*properties.values(), *(schema.get("$defs") or {}).values(), schema.get("items"), schema.get("anyOf"))
    return schema.keys() <= _STRICT and all(map(is_closed, inner))


def of_object(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments as one object: vendors take no union for it. The properties of all members are
    its own, what all of them require is required, and the union itself is told in the description."""
    found: dict[str, Any] = {"type": "object", **schema} | {"type": "object"}
    unions = {word: found.pop(word) for word in _UNIONS if word in found}
    for word, given in unions.items():
        members = [each for each in given if isinstance(each, Mapping)]
        for member in members:
            found["properties"] = {**(member.get("properties") or {}), **(found.get("properties") or {})}
        if needed := [list(each.get("required") or ()) for each in members]:
            is_shared = any if word == "allOf" else all
            named = dict.fromkeys(name for each in needed for name in each)
            names = [name for name in named if is_shared(name in each for each in needed)]
            found |= {"required": list(dict.fromkeys([*found.get("required", ()), *names]))} if names else {}
    if unions:
        told = json.dumps(unions, ensure_ascii=False)
        found["description"] = f"{found.get('description', '')}\n\n{{{told[1:-1]}}}".strip()
    return found


def is_object(schema: Mapping[str, Any]) -> bool:
    """True where an answer of the schema is an object, as most vendors want it of the outermost one."""
    return schema.get("type", "object") == "object" and not any(word in schema for word in _UNIONS)


# An answer that is no object: asked for as the one property of one, and taken out of it again

_INSIDE = "value"
_BEGINNING = re.compile(r'\s*\{\s*"value"\s*:\s*')


def wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, or that of an object around it where the answer is none."""
    if is_object(schema):
        return dict(schema)
    inner, names = dict(schema), ("$defs", "definitions")
    moved = {name: inner.pop(name) for name in names if name in inner}  # references are to the outermost schema
    outer = {"type": "object", "properties": {_INSIDE: inner}, "required": [_INSIDE], "additionalProperties": False}
    return {**outer, **moved}


def to_unwrap(request: Request, native: Native | None) -> Mapping[str, Any] | None:
    """The schema whose answer comes wrapped and is taken out again; None = none. Who wrote it in the vendor's own wire
    gets what that asks for."""
    schema = request.parameters.json_schema
    is_callers = native is not None and schema == native.parameters.json_schema
    return None if schema is None or is_callers or is_object(schema) else schema


class Unwrapper:
    """Takes the answer out of the object around it, as it comes; what is no such object stays as it is.

    schema: That of the answer; None = there is nothing to take it out of.
    """

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        self._held = ""
        self._place = "other" if schema is None or is_object(schema) else "before"  # then `inside`

    def read(self, text: str, *, is_last: bool) -> str:
        """The part of the answer that is sure by now."""
        self._held += text
        if self._place == "before" and (found := _BEGINNING.match(self._held)):
            self._place, self._held = "inside", self._held[found.end() :]
        elif self._place == "before" and not '{"value":'.startswith(re.sub(r"\s", "", self._held)):
            self._place = "other"
        held = self._held
        if is_last or self._place == "other":
            self._held = ""
            return held.rstrip().removesuffix("}").rstrip() if self._place == "inside" else held
        # The last bracket may be that of the object.
        at = 0 if self._place == "before" else len(held.rstrip(" \n\r\t}"))
        self._held = held[at:]
        return held[:at]
