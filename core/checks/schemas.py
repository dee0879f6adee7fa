"""JSON schemas, read as strictly as Ajv reads them: draft-07, and what it does not know is an error. Pure."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from jsonschema import Draft7Validator, FormatChecker, SchemaError, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable

from core.checks import javascript as js
from core.checks import regular
from core.checks.model import CheckError

_SCHEMAS = {
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "additionalProperties",
    "additionalItems",
    "items",
    "contains",
}
_LISTS = {"allOf", "anyOf", "oneOf", "items"}
_MAPS = {"properties", "patternProperties", "definitions", "$defs", "dependencies"}
_OTHER = set(
    "$schema $id $ref $comment $vocabulary title description default deprecated readOnly writeOnly examples"
    " contentMediaType contentEncoding contentSchema type nullable const enum format multipleOf maximum minimum"
    " exclusiveMaximum exclusiveMinimum maxLength minLength pattern maxProperties minProperties required maxItems"
    " minItems uniqueItems".split()
)
_KNOWN = _SCHEMAS | _LISTS | _MAPS | _OTHER
_DRAFT_7 = re.compile(r"https?://json-schema\.org/draft-07/schema#?")
_PCHAR = r"(?:[a-z0-9\-._~!$&'\"()*+,;=:@]|%[0-9a-f]{2})"
_HIER = rf"(?://(?:[^\s/?#\[\]<>\\^`{{|}}]|\[[0-9a-f:.v]+\])*(?:/{_PCHAR}*)*|/?{_PCHAR}*(?:/{_PCHAR}*)*)"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_ATOM, _LABEL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+", "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_PATTERNS = {
    "duration": r"P(?!$)((\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?|(\d+W)?)",
    "uri": rf"(?i:[a-z][a-z0-9+\-.]*:{_HIER}{_TAIL})",
    "uri-reference": rf"(?i:(?:[a-z][a-z0-9+\-.]*:)?{_HIER}{_TAIL})",
    "uri-template": r"(?i:(?:[^\x00-\x20\"'<>%\\^`{|}]|%[0-9a-f]{2}|\{[+#./;?&=,!@|]?[a-z0-9_%:*,]+\})*)",
    "url": r"(?i:(?:https?|ftp)://(?:\S+@)?(?:[a-z0-9\u00a1-\uffff][a-z0-9\u00a1-\uffff-]*\.)+"
    r"(?:[a-z\u00a1-\uffff]{2,}|\d{1,3})(?::\d{2,5})?(?:/\S*)?)",
    "email": rf"(?i:{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL})",
    "hostname": rf"(?i:(?=.{{1,253}}\.?$){_HOST}(?:\.{_HOST})*\.?)",
    "ipv4": rf"(?:{_BYTE}\.){{3}}{_BYTE}",
    "uuid": r"(?i:(?:urn:uuid:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})",
    "json-pointer": r"(?:/(?:[^~/]|~0|~1)*)*",
    "json-pointer-uri-fragment": r"(?i:#(?:/(?:[a-z0-9_\-.!$&'()*+,;:=@]|%[0-9a-f]{2}|~0|~1)*)*)",
    "relative-json-pointer": r"(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~0|~1)*)*)",
    "byte": r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "password": r"[\s\S]*",
    "binary": r"[\s\S]*",
}
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d(?:\.\d+)?)(z|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII | re.IGNORECASE)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


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
    kind = _Strict if is_strict else validators.validator_for(schema)
    if is_strict:
        for path, why in _strict_problems(schema, schema, "the schema"):
            raise CheckError(f"{path}: {why}")
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise CheckError(f"the schema is wrong at {error.json_path}: {error.message[:200]}") from None
    checker = _FORMATS if is_strict else kind.FORMAT_CHECKER
    return kind(schema, registry=Registry(), format_checker=checker)


def _strict_problems(schema: Any, root: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if why := _problem_of(key, value, schema, root):
            yield path, why
        elif key in _MAPS and isinstance(value, dict):
            for name, part in value.items():
                yield from _strict_problems(part, root, f"{path}.{key}.{name}")
        elif key in _LISTS and isinstance(value, list):
            for index, part in enumerate(value):
                yield from _strict_problems(part, root, f"{path}.{key}[{index}]")
        elif key in _SCHEMAS:
            yield from _strict_problems(value, root, f"{path}.{key}")


def _problem_of(key: str, value: Any, schema: dict[str, Any], root: Any) -> str:
    if key not in _KNOWN:
        return f"unknown keyword {key!r}"
    if key == "$schema" and not (isinstance(value, str) and _DRAFT_7.fullmatch(value)):
        return f"only draft-07 is read, not {value!r}"
    if key == "format" and value not in FORMATS:
        return f"unknown format {value!r}"
    if key == "if" and "then" not in schema and "else" not in schema:
        return "'if' without 'then' and 'else' is ignored"
    if key in ("then", "else") and "if" not in schema:
        return f"{key!r} without 'if' is ignored"
    if key == "additionalItems" and not isinstance(schema.get("items"), list):
        return "'additionalItems' is ignored where 'items' is no list"
    if key == "nullable" and value and "type" not in schema:
        return "'nullable' cannot be used without 'type'"
    if key == "$ref" and isinstance(value, str) and value.startswith("#") and not _resolves(value[1:], root):
        return f"{value!r} refers to what is not there"
    patterns = [value] if key == "pattern" else value if key == "patternProperties" else ()
    return _pattern_problem(patterns)


def _pattern_problem(patterns: Any) -> str:
    for pattern in patterns:
        try:
            regular.compiled(str(pattern), is_unicode=True)
        except regular.PatternError as error:
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
        return regular.search(pattern, text, is_unicode=True)
    except regular.PatternTooSlow as error:
        raise CheckError(str(error)) from None


_Strict: Any = validators.create(
    Draft7Validator.META_SCHEMA,
    {
        **Draft7Validator.VALIDATORS,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional,
        "type": _type,
    },
    type_checker=Draft7Validator.TYPE_CHECKER,
    format_checker=FormatChecker(formats=()),
    applicable_validators=lambda schema: schema.items(),  # what stands beside a $ref counts too
)


def _is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 12:
        return False
    year, month, day = map(int, found.groups())
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= day <= (28 if month == 2 and not is_leap else _DAYS[month - 1])


def _is_time(text: str, *, needs_zone: bool = True) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    hour, minute, second, zone = int(found[1]), int(found[2]), float(found[3]), found[4]
    sign, zone_hour, zone_minute = -1 if found[5] == "-" else 1, int(found[6] or 0), int(found[7] or 0)
    if zone_hour > 23 or zone_minute > 59 or (needs_zone and not zone):
        return False
    if hour <= 23 and minute <= 59 and second < 60:
        return True
    utc_minute = minute - zone_minute * sign
    utc_hour = hour - zone_hour * sign - (utc_minute < 0)
    return utc_hour in (23, -1) and utc_minute in (59, -1) and second < 61  # a leap second


def _is_moment(text: str, *, needs_zone: bool = True) -> bool:
    parts = re.split(f"[tT{js.WHITESPACE}]", text)
    return len(parts) == 2 and _is_date(parts[0]) and _is_time(parts[1], needs_zone=needs_zone)


def _is_ipv6(text: str) -> bool:
    try:
        return bool(IPv6Address(text)) and "%" not in text
    except AddressValueError:
        return False


def _is_pattern(text: str) -> bool:
    return not _pattern_problem([text]) and "\\Z" not in text


def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


FORMATS: dict[str, Callable[[str], bool]] = {
    **{name: _matcher(pattern) for name, pattern in _PATTERNS.items()},
    "date": _is_date,
    "time": _is_time,
    "date-time": _is_moment,
    "iso-time": lambda text: _is_time(text, needs_zone=False),
    "iso-date-time": lambda text: _is_moment(text, needs_zone=False),
    "ipv6": _is_ipv6,
    "regex": _is_pattern,
    **dict.fromkeys(("int32", "int64", "float", "double"), lambda _: True),
}
_FORMATS = FormatChecker(formats=())
for _name, _test in FORMATS.items():
    _FORMATS.checkers[_name] = (lambda value, test=_test: not isinstance(value, str) or bool(test(value)), ())
