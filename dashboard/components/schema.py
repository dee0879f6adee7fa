"""The form that an answer must have, as JSON Schema: checked before it is sent, and the answer against it."""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import streamlit as st
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from core.domain import strict_json as json
from core.domain.generation import Generation
from dashboard import formatting

_DRAFT = jsonschema.Draft202012Validator
# What says something to people or to the schema itself, and nothing about the answer.
_NOTES = set(
    "$schema $id $anchor $comment $defs $vocabulary title description default examples deprecated readOnly writeOnly format"
    " contentEncoding contentMediaType contentSchema definitions if then else minContains maxContains propertyOrdering nullable".split()
)
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_VALUES = ("enum", "const", "default", "examples", "example")


def parsed(text: str) -> dict[str, Any] | None:
    """The schema that was typed; None = none.

    Raises:
        ValueError: Why it cannot be used.
    """
    if not text.strip():
        return None
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"It is not JSON: {error.msg}, in line {error.lineno}, column {error.colno}.") from error
    if not isinstance(schema, dict):
        raise ValueError('A JSON schema is an object, such as {"type": "object"}.')
    try:
        _class_of(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        place = f" (at {error.json_path})" if error.path else ""
        raise ValueError(f"It is no JSON schema: {formatting.short(error.message, 200)}{place}.") from error
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
    for name, value in _keywords(schema):
        if name in ("$ref", "$dynamicRef"):
            try:
                resolver.lookup(value)
            except Unresolvable as error:
                raise ValueError(
                    f"It refers to {value!r}, which is nowhere in it; other addresses are not fetched."
                ) from error
    return schema


def unknown_keywords(schema: Mapping[str, Any]) -> list[str]:
    """Words that JSON Schema does not know: most often a slip of the keys, and models heed them as they like."""
    known = _NOTES | set(_class_of(schema).VALIDATORS)
    return list(dict.fromkeys(name for name, _ in _keywords(schema) if name not in known and not name.startswith("x-")))


def violation(schema: Mapping[str, Any], text: str) -> str:
    """What is wrong with an answer; empty = nothing."""
    try:
        answer = json.loads(text)
    except ValueError as error:
        return f"it is not JSON: {error}"
    try:
        validator = _class_of(schema)(schema, registry=Registry())
        found = sorted(validator.iter_errors(answer), key=lambda error: error.json_path)
    except Unresolvable as error:
        return f"the schema refers to {error.ref!r}, which is nowhere in it"
    except RecursionError:
        return "the schema refers to itself without end"
    texts = [f"{error.json_path}: {formatting.short(error.message, 160)}" for error in found[:3]]
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(texts) + more


def verdict(g: Generation) -> None:
    """Say whether an answer has the form that was asked for."""
    schema = g.parameters.json_schema
    if schema is None or not g.text:
        return
    if wrong := violation(schema, g.text):
        st.warning(formatting.plain(f"The answer does not match the JSON schema: {wrong}"), icon=":material/rule:")
    else:
        st.badge("matches the JSON schema", icon=":material/check:", color="green")


def _class_of(schema: Mapping[str, Any]) -> Any:
    return jsonschema.validators.validator_for(schema, default=_DRAFT)


def _keywords(schema: object) -> Iterator[tuple[str, Any]]:
    """Each keyword of a schema and of those inside it; names of properties and values are none."""
    if isinstance(schema, list):
        for each in schema:
            yield from _keywords(each)
    if not isinstance(schema, dict):
        return
    for name, value in schema.items():
        yield name, value
        if name in _NAMED and isinstance(value, dict):
            for each in value.values():
                yield from _keywords(each)
        elif name not in _VALUES:
            yield from _keywords(value)
