"""Checks as files write them: in a cell, `type: value`, or as an object; a misspelt type is told. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from core.checks.csv_cells import TYPES, from_csv_cell
from core.checks.grading import JUDGED_KINDS, UNSUPPORTED
from core.errors import InvalidRequest

_TYPE = re.compile(r"(?:not-)?([a-z]+(?:-[a-z]+)*)(?:\([^)]*\))?\s*:")
_PREFIXES = ("fn", "eval", "grade", "file", "https", "http")
_SETS = ("assert-set",)


def check_of(text: str) -> dict[str, Any]:
    """The check of an `__expected` cell. Raises: InvalidRequest: Its type is close to one that there is."""
    found, match = from_csv_cell(text), _TYPE.match(text)
    if found["type"] != "equals" or match is None or match[1] in ("equals", *_PREFIXES):
        return found
    if close := difflib.get_close_matches(match[1], TYPES, n=1, cutoff=0.75):
        raise InvalidRequest(
            f"{match[0][:60]!r} is no check; did you mean {close[0]}? To compare with the text itself write equals: …"
        )
    return found


def check_known(check: Mapping[str, Any]) -> None:
    """Raises: InvalidRequest: There is no check of this type."""
    kind = str(check.get("type")).removeprefix("not-")
    if kind not in TYPES and kind not in _SETS:
        close = difflib.get_close_matches(kind, TYPES, n=1)
        raise InvalidRequest(f"there is no check {kind[:60]!r}{f'; did you mean {close[0]}?' if close else ''}")


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
