"""The form that an answer must have, as JSON Schema: checked before it is sent, and the answer against it."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from core.domain.generation import Generation
from core.formats import strict_json as json
from core.formats.text import mended
from dashboard import formatting

MAX_CHARACTERS = 50_000
CHECK_S = 2.0
_DRAFT = jsonschema.Draft202012Validator
# What says something to people or to the schema itself, and nothing about the answer.
_NOTES = set(
    "$schema $id $anchor $comment $defs $vocabulary title description default examples deprecated readOnly writeOnly"
    " format contentEncoding contentMediaType contentSchema definitions if then else minContains maxContains"
    " propertyOrdering nullable id exclusiveMinimum exclusiveMaximum required $dynamicAnchor $recursiveAnchor".split()
)


_TYPES = "array, boolean, integer, null, number, object, string"


class _TooLongError(Exception):
    """The check of an answer takes too long."""


@lru_cache(maxsize=64)
def parsed(text: str) -> dict[str, Any] | None:
    """The schema that was typed; None = none.

    Raises:
        ValueError: Why it cannot be used.
    """
    if not text.strip():
        return None
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"It has {len(text):,} characters; at most {MAX_CHARACTERS:,} can be used.")
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"It is not JSON: {error.msg}, in line {error.lineno}, column {error.colno}.") from error
    if not isinstance(schema, dict):
        raise ValueError('A JSON schema is an object, such as {"type": "object"}.')
    if not isinstance(schema.get("$schema", ""), str):
        raise ValueError("$schema must be a text.")
    _check_all(schema)
    return schema


def _check_all(schema: Mapping[str, Any]) -> None:
    """It and what it refers to are schemas, and its patterns can be used."""
    _check(schema, _class_of(schema))
    for part, resolver in _parts(schema):
        for ref in (part[name] for name in ("$ref", "$dynamicRef") if name in part):
            _check(_target(ref, resolver), _class_of(schema))
        for pattern in (part.get("pattern", ""), *part.get("patternProperties", ())):
            _found(pattern, "")
        if {"patternProperties", "unevaluatedProperties"} <= part.keys():
            raise ValueError("patternProperties together with unevaluatedProperties cannot be checked.")


def _check(schema: Any, draft: Any) -> None:
    try:
        draft.check_schema(schema, format_checker=None)
    except jsonschema.SchemaError as error:
        place = f" (at {error.json_path})" if error.path else ""
        message = formatting.short(error.message, 200)
        if error.path and error.path[-1] == "type":
            message = f"{formatting.short(repr(error.instance), 60)} is not a type; the types are {_TYPES}"
        raise ValueError(f"It is not a JSON schema: {message}{place}.") from error


def _target(ref: str, resolver: Any) -> Any:
    """The part of the schema that a reference leads to."""
    try:
        return resolver.lookup(ref).contents
    except (Unresolvable, ValueError) as error:
        raise ValueError(
            f"It refers to {ref!r}, which it does not contain; other addresses are not fetched."
        ) from error


def _found(pattern: str, text: str) -> bool:
    """True if a text holds the pattern; in linear time: the standard module may take years, and stops all threads."""
    try:
        return bool(pc.match_substring_regex(pa.array([mended(text)]), pattern)[0].as_py())
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        why = str(error).removeprefix("Invalid regular expression: ")
        raise ValueError(f"The pattern {formatting.short(pattern, 60)!r} cannot be used: {why}.") from error


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(instance, "string") and not _found(pattern, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _: Any) -> Iterator[jsonschema.ValidationError]:
    for pattern, schema in patterns.items() if validator.is_type(instance, "object") else ():
        for name, value in instance.items():
            if _found(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional(validator: Any, rest: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    for name, value in instance.items() if validator.is_type(instance, "object") else ():
        if name in schema.get("properties", {}) or any(_found(p, name) for p in schema.get("patternProperties", ())):
            continue
        if rest is False:
            yield jsonschema.ValidationError(f"{name!r} is not one of its properties")
        else:
            yield from validator.descend(value, rest, path=name)


def _unique_items(validator: Any, is_asked: Any, instance: Any, _: Any) -> Iterator[jsonschema.ValidationError]:
    if is_asked and validator.is_type(instance, "array") and len({_frozen(each) for each in instance}) < len(instance):
        yield jsonschema.ValidationError("an item appears twice")


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((name, _frozen(each)) for name, each in value.items())
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else (type(value) is bool, value)


# Those of the library look for a pattern, or for equal items, in a time that has no bound.
_OWN = {
    "pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional,
    "uniqueItems": _unique_items,
}  # fmt: skip


def _in_time(check: Callable[..., Any], until: float) -> Callable[..., Any]:
    def checked(*given: Any) -> Any:
        if time.monotonic() > until:
            raise _TooLongError
        return check(*given)

    return checked


def unknown_keywords(schema: Mapping[str, Any]) -> list[str]:
    """Words that JSON Schema does not know: most often a typing error, and models may ignore them."""
    known = _NOTES | set(_class_of(schema).VALIDATORS)
    names = (name for part, _ in _parts(schema) for name in part)
    return list(dict.fromkeys(name for name in names if name not in known and not name.startswith("x-")))


def _words(error: jsonschema.ValidationError) -> str:
    """Its message, in which a long value does not hide what is wrong with it."""
    value = repr(error.instance)
    return formatting.short(error.message.replace(value, formatting.short(value, 60), 1), 160)


@lru_cache(maxsize=256)
def violation(schema_text: str, text: str) -> str:
    """The fault of an answer in words; empty = none."""
    try:
        schema = parsed(schema_text) or {}
    except ValueError as error:
        return f"the schema cannot be used. {error}"
    try:
        answer = json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith("```"):
            return "it is not only JSON: it is wrapped in a Markdown code block"
        return f"it is not JSON: {error}"
    draft, until = _class_of(schema), time.monotonic() + CHECK_S
    limited = {name: _in_time(check, until) for name, check in (dict(draft.VALIDATORS) | _OWN).items()}
    try:
        validator = jsonschema.validators.extend(draft, limited)(schema, registry=Registry())
        found = sorted(validator.iter_errors(answer), key=lambda error: error.json_path)
    except _TooLongError:
        return f"it could not be checked within {CHECK_S:g} s"
    except RecursionError:
        return "the schema refers to itself without end"
    except OverflowError:
        return "it could not be checked: a number in it is too large"
    texts = [f"{error.json_path}: {_words(error)}" for error in found[:3]]
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(texts) + more


def verdict(g: Generation) -> None:
    """Say whether an answer has the form that was asked for."""
    schema = g.parameters.json_schema
    if schema is None or not g.text:
        return
    if wrong := violation(json.dumps(schema), g.text):
        st.warning(formatting.plain(f"The answer does not match the JSON schema: {wrong}"), icon=":material/rule:")
    else:
        st.badge("Matches the JSON schema", icon=":material/check:", color="green")


def _class_of(schema: Mapping[str, Any]) -> Any:
    return jsonschema.validators.validator_for(schema, default=_DRAFT)


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """A schema and each schema inside it that is an object, with what resolves the references there."""
    resource = Resource.from_contents(schema, default_specification=DRAFT202012)
    left = [(resource, Registry().resolver_with_root(resource))]
    while left:
        resource, outer = left.pop()
        if isinstance(resource.contents, dict):
            resolver = outer.in_subresource(resource)
            yield resource.contents, resolver
            left += [(each, resolver) for each in resource.subresources()]
