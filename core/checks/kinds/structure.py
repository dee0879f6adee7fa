"""Checks of JSON in an answer: is-json, json-schema, contains-json, json-path. Pure."""

import re
from collections.abc import Callable
from typing import Any

from core.checks import javascript as js
from core.checks import regular, schemas
from core.checks.kinds import loose_json
from core.checks.model import ABSENT, CheckError, Given, Outcome, shown, yes_no

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n(.*?)^[ \t]*\1", re.DOTALL | re.MULTILINE)
_STEP = re.compile(r"\.?([^.\[\]\s]+)|\[\s*(?:(-?\d+)|\"([^\"]*)\"|'([^']*)')\s*\]")


def is_json(given: Given) -> Outcome:
    """The whole answer is JSON, of any type; with a value, one that fits this schema."""
    try:
        value = js.parse_json(given.text)
    except ValueError as error:
        return yes_no(False, f"the answer is no JSON ({error}): {shown(given.text)!r}")
    schema = _schema(given)
    return yes_no(True, "the answer is JSON") if schema is ABSENT else _fits(schema, value, is_strict=True)


def json_schema(given: Given) -> Outcome:
    """As is-json with a schema, which is read by the draft it names; what it does not know is allowed."""
    schema = _schema(given)
    if schema is ABSENT:
        raise CheckError("json-schema needs a schema as its value")
    schemas.validator(js.json_text(schema), False)
    try:
        value = js.parse_json(given.text)
    except ValueError as error:
        return yes_no(False, f"the answer is no JSON ({error}): {shown(given.text)!r}")
    return _fits(schema, value, is_strict=False)


def contains_json(given: Given) -> Outcome:
    """Some {…} in the answer is JSON, read generously; with a value, one that fits this schema."""
    found = loose_json.objects(given.text)
    if not found:
        return yes_no(False, f"the answer holds no JSON object: {shown(given.text)!r}")
    schema = _schema(given)
    if schema is ABSENT:
        return yes_no(True, "the answer holds JSON")
    outcomes = [_fits(schema, value, is_strict=True) for value in found]
    return next((outcome for outcome in outcomes if outcome.passed), outcomes[-1])


def _schema(given: Given) -> Any:
    """The schema; ABSENT where the value is none."""
    value = given.value
    if isinstance(value, str) and value:
        return loose_json.read_yaml(value)
    if isinstance(value, dict | list):
        return value
    if value in (None, False, 0, "") or value is ABSENT:
        return ABSENT
    raise CheckError(f"{given.kind}: a schema is an object or its text, not {shown(value)}")


def _fits(schema: Any, value: Any, *, is_strict: bool) -> Outcome:
    problems = schemas.problems(schema, value, is_strict=is_strict)
    return yes_no(not problems, "; ".join(problems[:3]) or "the JSON fits the schema")


def json_path(given: Given) -> Outcome:
    """A part of the answer's JSON, compared: {path, op, value}. A ``` fence around the JSON does not matter."""
    path, op, expected = _condition(given.value)
    value = _unfenced(given.text)
    if value is ABSENT:
        return yes_no(False, f"the answer is no JSON: {shown(given.text)!r}")
    found = at_path(value, path)
    if op == "exists":
        return yes_no(found is not ABSENT, f"the answer has no {path}", f"the answer has {path}")
    if found is ABSENT:
        return yes_no(False, f"the answer has no {path}")
    told = f"{path} is {shown(js.json_text(found))}"
    return yes_no(OPERATORS[op](found, expected), f"{told}, not {_OP_WORDS[op]} {shown(expected)}", told)


_OP_WORDS = {
    "equals": "equal to", "contains": "containing", "regex": "matching", "in": "one of",
    ">": "above", ">=": "at least", "<": "below", "<=": "at most",
}  # fmt: skip


def _condition(value: Any) -> tuple[str, str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        raise CheckError("json-path needs {path, op, value}, such as {path: $.city, op: equals, value: Paris}")
    if unknown := set(value) - {"path", "op", "value"}:
        raise CheckError(f"json-path has path, op and value, not {', '.join(sorted(map(str, unknown)))}")
    op = value.get("op", "equals" if "value" in value else "exists")
    if op not in OPERATORS:
        raise CheckError(f"json-path: op is one of {', '.join(OPERATORS)}, not {shown(op)}")
    if op != "exists" and "value" not in value:
        raise CheckError(f"json-path: {op} needs a value")
    return value["path"], op, value.get("value")


def _unfenced(text: str) -> Any:
    """The JSON value of a text, or of the first fenced block that is JSON; ABSENT = none."""
    for candidate in (text, *(match[2] for match in _FENCE.finditer(text))):
        try:
            return js.parse_json(js.trim(candidate))
        except ValueError:
            continue
    return ABSENT


def at_path(value: Any, path: str) -> Any:
    """The part at a path such as $.a.b[0]['c d']; negative indices count from the end. ABSENT = there is none.

    Raises:
        CheckError: It is no path.
    """
    at = 1 if path.startswith("$") else 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise CheckError(f"{path!r} is no path: {path[at:]!r}; write $.a.b[0]")
        at = match.end()
        name, index, *quoted = match.groups()
        key = name if name is not None else next((each for each in quoted if each is not None), None)
        if isinstance(value, dict) and key is not None:
            value = value.get(key, ABSENT)
        elif isinstance(value, list) and index is not None and -len(value) <= int(index) < len(value):
            value = value[int(index)]
        else:
            return ABSENT
    return value


def _is_equal(found: Any, expected: Any) -> bool:
    """The same JSON value; a text from a dataset's cell also equals the number or the boolean that it names."""
    is_scalar = isinstance(found, int | float) or found is None
    return js.is_same(found, expected) or (isinstance(expected, str) and is_scalar and js.text_of(found) == expected)


def _holds(found: Any, expected: Any) -> bool:
    if isinstance(found, list):
        return any(_is_equal(each, expected) for each in found)
    return isinstance(found, str) and js.text_of(expected) in found


def _matches(found: Any, expected: Any) -> bool:
    try:
        return regular.search(str(expected), js.text_of(found))
    except (regular.PatternError, regular.PatternTooSlow) as error:
        raise CheckError(f"json-path: {expected!r}: {error}") from None


def _ordered(test: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    def compare(found: Any, expected: Any) -> bool:
        limit = js.number_of(expected)
        if limit != limit:
            raise CheckError(f"json-path: {shown(expected)} is no number to compare with")
        return isinstance(found, int | float) and not isinstance(found, bool) and test(found, limit)

    return compare


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": _is_equal,
    "contains": _holds,
    "regex": _matches,
    "in": lambda found, expected: isinstance(expected, list) and any(_is_equal(found, each) for each in expected),
    ">": _ordered(lambda found, limit: found > limit),
    ">=": _ordered(lambda found, limit: found >= limit),
    "<": _ordered(lambda found, limit: found < limit),
    "<=": _ordered(lambda found, limit: found <= limit),
    "exists": lambda found, _: found is not ABSENT,
}
