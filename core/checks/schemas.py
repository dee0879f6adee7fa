"""JSON schemas, read as strictly as Ajv reads them: draft-07, and what it does not know is an error. Pure."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft7Validator, FormatChecker, SchemaError, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable

from core.checks import javascript as js
from core.checks import regular
from core.checks.model import CheckError
from core.checks.schema_formats import FORMATS, fits

_SCHEMAS = set("not if then else propertyNames additionalProperties additionalItems items contains".split())
_LISTS = {"allOf", "anyOf", "oneOf", "items"}
_MAPS = {"properties", "patternProperties", "dependencies"}
_OTHER = set(
    "$schema $id $ref $async $comment $vocabulary title description default deprecated readOnly writeOnly examples"
    " contentMediaType contentEncoding contentSchema type nullable const enum format multipleOf maximum minimum"
    " exclusiveMaximum exclusiveMinimum maxLength minLength pattern maxProperties minProperties required maxItems"
    " minItems uniqueItems definitions $defs".split()
)
_KNOWN = _SCHEMAS | _LISTS | _MAPS | _OTHER
_DRAFT_7 = re.compile(r"http://json-schema\.org/(?:draft-07/)?schema#?")


def problems(schema: Any, value: Any, *, is_strict: bool = True) -> list[str]:
    """The reasons that a value does not fit a schema; empty = it does.

    is_strict: As Ajv; else by the draft that the schema names, unknown keywords allowed.

    Raises:
        CheckError: The schema itself is wrong.
    """
    try:
        found = list(validator(js.json_text(schema), is_strict).iter_errors(value))
    except Unresolvable as error:
        raise CheckError(f"the schema refers to what is not there: {error}") from None
    except RecursionError:
        raise CheckError("the schema or the answer is nested too deeply") from None
    return [f"{'.'.join(map(str, each.absolute_path)) or 'the answer'}: {each.message[:200]}" for each in found]


@lru_cache(maxsize=200)
def validator(schema_text: str, is_strict: bool) -> Any:
    """The validator of a schema. Raises: CheckError, naming what is wrong with it"""
    schema = js.parse_json(schema_text)
    if not isinstance(schema, dict | bool):
        raise CheckError("a schema is an object or a boolean")
    kind = _Strict if is_strict else validators.extend(validators.validator_for(schema), _BY_PATTERN)
    if is_strict:
        _check_strictly(schema, "the schema", schema, set())
    try:
        kind.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        raise CheckError(f"the schema is wrong at {error.json_path}: {error.message[:200]}") from None
    return kind(schema, registry=Registry(), format_checker=None if is_strict else kind.FORMAT_CHECKER)


def _check_strictly(schema: Any, path: str, root: Any, seen: set[int]) -> None:
    """Raises: CheckError: A part that is used holds something that Ajv refuses."""
    if not isinstance(schema, dict) or id(schema) in seen:
        return
    seen.add(id(schema))
    for key, value in schema.items():
        if why := _problem_of(key, value, schema):
            raise CheckError(f"{path}: {why}")
        if key == "$ref" and isinstance(value, str) and value.startswith("#"):
            _check_strictly(_target(value, root), value, root, seen)
        parts: list[tuple[str, Any]] = [(key, value)] if key in _SCHEMAS else []
        if key in _MAPS and isinstance(value, dict):
            parts = [(f"{key}.{name}", part) for name, part in value.items()]
        elif key in _LISTS and isinstance(value, list):
            parts = [(f"{key}[{index}]", part) for index, part in enumerate(value)]
        for name, part in parts:
            _check_strictly(part, f"{path}.{name}", root, seen)


def _problem_of(key: str, value: Any, schema: dict[str, Any]) -> str:
    if key not in _KNOWN:
        return f"unknown keyword {key!r}"
    if key == "$schema" and not (isinstance(value, str) and _DRAFT_7.fullmatch(value)):
        return f"only http://json-schema.org/draft-07/schema# is read, not {value!r}"
    if key == "format" and value not in FORMATS:
        return f"unknown format {value!r}"
    if key == "enum" and value == []:
        return "'enum' is empty"
    if key in ("pattern", "patternProperties"):
        return _pattern_problem([value] if key == "pattern" else value) or _overlap(schema)
    return _lonely(key, value, schema)


def _lonely(key: str, value: Any, schema: dict[str, Any]) -> str:
    """The problem of a keyword that means nothing without another."""
    if key == "if" and "then" not in schema and "else" not in schema:
        return "'if' without 'then' and 'else' is ignored"
    if key in ("then", "else") and "if" not in schema:
        return f"{key!r} without 'if' is ignored"
    if key == "additionalItems" and not isinstance(schema.get("items"), list):
        return "'additionalItems' is ignored where 'items' is no list"
    if key == "nullable" and value and "type" not in schema:
        return "'nullable' cannot be used without 'type'"
    return ""


def _overlap(schema: dict[str, Any]) -> str:
    for pattern in schema.get("patternProperties", {}):
        for name in schema.get("properties", {}):
            if _found(pattern, name):
                return f"the property {name!r} also matches the pattern {pattern!r}"
    return ""


def _target(reference: str, root: Any) -> Any:
    """The part that a reference names. Raises: CheckError: There is none."""
    value = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            raise CheckError(f"the schema refers to {reference!r}, which is not there")
    return value


def _pattern_problem(patterns: Any) -> str:
    for pattern in patterns:
        try:
            regular.compiled(str(pattern), is_unicode=True)
        except (regular.PatternError, regular.PatternTooSlow) as error:
            return f"the pattern {pattern!r} is wrong: {error}"
    return ""


def _resolves(pointer: str, root: Any) -> bool:
    for part in pointer.split("/")[1:] if pointer.startswith("/") else []:
        name = part.replace("~1", "/").replace("~0", "~")
        root = root.get(name) if isinstance(root, dict) else None
        if root is None:
            return "%" in pointer or any(each.isdigit() for each in pointer.split("/"))  # left to the library
    return True


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _found(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(checker: Any, patterns: dict[str, Any], value: Any, _: Any) -> Iterator[ValidationError]:
    for pattern, part in patterns.items() if isinstance(value, dict) else ():
        for name, each in value.items():
            if _found(pattern, name):
                yield from checker.descend(each, part, path=name, schema_path=pattern)


def _additional(checker: Any, part: Any, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    patterns = schema.get("patternProperties", {})
    for name, each in value.items() if isinstance(value, dict) else ():
        if name in schema.get("properties", {}) or any(_found(pattern, name) for pattern in patterns):
            continue
        if part is False:
            yield ValidationError(f"the property {name!r} is not allowed")
        else:
            yield from checker.descend(each, part, path=name)


def _type(checker: Any, types: Any, value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    if not (value is None and schema.get("nullable")):
        yield from Draft7Validator.VALIDATORS["type"](checker, types, value, schema)


def _found(pattern: str, text: str) -> bool:
    try:
        try:
            return regular.search(pattern, text, is_unicode=True)
        except regular.PatternError:  # Ajv's check refused it before; others take what JavaScript took without a flag
            return regular.search(pattern, text)
    except (regular.PatternError, regular.PatternTooSlow) as error:
        raise CheckError(f"the pattern {pattern[:80]!r}: {error}") from None


def _format(_checker: Any, name: str, value: Any, _: Any) -> Iterator[ValidationError]:
    if not fits(name, value):
        yield ValidationError(f"{value!r} is no {name}")


_BY_PATTERN: Any = {
    "pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional,
}  # fmt: skip
_Strict: Any = validators.create(
    Draft7Validator.META_SCHEMA,
    {**Draft7Validator.VALIDATORS, **_BY_PATTERN, "type": _type, "format": _format},
    type_checker=Draft7Validator.TYPE_CHECKER,
    applicable_validators=lambda schema: schema.items(),  # what stands beside a $ref counts too
)
