"""Checks as files write them: in a cell, `type: value`, or as an object; a misspelt type is told. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from core.checks.csv_cells import TYPES, from_csv_cell
from core.checks.grading import JUDGED_KINDS, KINDS, UNSUPPORTED
from core.checks.validation import validate
from core.errors import InvalidRequest

_TYPE = re.compile(r"(?:not-)?([a-z]+(?:-[a-z]+)*)(?:\([^)]*\))?\s*:")
_PREFIXES = ("fn", "eval", "grade", "file", "https", "http")
_SETS = ("assert-set",)
# Not every value of theirs can be held against an answer.
_PICKY = frozenset(
    (
        "regex",
        "word-count",
        "is-json",
        "json-schema",
        "contains-json",
        "json-path",
        "tool-called",
        "tool-call-f1",
        "finish-reason",
        "latency",
        "cost",
    )
)


def check_of(text: str) -> dict[str, Any]:
    """The check of an `__expected` cell. Raises: InvalidRequest: Its type is close to one that there is."""
    found, match = from_csv_cell(text), _TYPE.match(text)
    if found != {"type": "equals", "value": text.strip()}:
        return found
    close = _written_otherwise(text)
    if not close and match and match[1] not in ("equals", *_PREFIXES):
        close = "".join(difflib.get_close_matches(match[1], TYPES, n=1, cutoff=0.75))
    if close:
        raise InvalidRequest(
            f"{(match[0] if match else text)[:60]!r} is no check; did you mean {close}?"
            " To compare with the text itself write equals: …"
        )
    return found


def _written_otherwise(text: str) -> str:
    """The type that a cell names with other letters: `Contains: x`, `is_json`; one word alone may be an answer."""
    head, colon, _ = text.partition(":")
    name = re.sub(r"\(.*|[\W_]+", "", head).lower()
    kinds = [kind for each in TYPES for kind in (each, f"not-{each}") if kind.replace("-", "") == name]
    return next((kind for kind in kinds if colon or "-" in kind), "")


def check_known(check: Mapping[str, Any]) -> None:
    """Raises: InvalidRequest: There is no check of this type, or a number or the value of it is none."""
    kind = str(check.get("type")).removeprefix("not-")
    if kind not in TYPES and kind not in _SETS:
        close = difflib.get_close_matches(kind, TYPES, n=1)
        raise InvalidRequest(f"there is no check {kind[:60]!r}{f'; did you mean {close[0]}?' if close else ''}")

    for name in ("threshold", "weight"):
        value = check.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InvalidRequest(f"{name} of {kind} == {str(value)[:40]!r}, must be a number")
    if kind in _PICKY or (kind in KINDS and (check.get("value") in (None, "") or (check.get("threshold") or 0) > 1)):
        for problem in validate({"assert": [check]}):
            why = problem.removeprefix("assert[0].").removeprefix("value: ")
            raise InvalidRequest(why if why.startswith(kind) else f"{kind}: {why}")


def unsupported(check: Mapping[str, Any]) -> str:
    """The type of a check that is known and cannot be made here; empty = it can."""
    kind = str(check.get("type")).removeprefix("not-")
    return kind if kind in UNSUPPORTED or kind in JUDGED_KINDS else ""


def with_config(
    checks: Mapping[str, dict[str, Any]], column: str, threshold: float | None
) -> dict[str, dict[str, Any]]:
    """The checks with the threshold that `__config:__expectedN:threshold` gives one of them. Raises: InvalidRequest"""
    name = column.split(":")[1]
    target = name if name in checks else {"__expected": "__expected1", "__expected1": "__expected"}.get(name, name)
    if target not in checks:
        raise InvalidRequest(f"{column} has a value, and {name} has none")
    return {**checks, target: {**checks[target], "threshold": threshold}}
