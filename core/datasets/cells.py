"""Cells that say a check, as promptfoo writes them: `type: value`; a misspelt type is told, not taken for an answer. Pure."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from core.errors import InvalidRequest

KINDS = (
    "equals contains icontains contains-any contains-all icontains-any icontains-all starts-with regex is-json"
    " contains-json json-schema json-path is-xml contains-xml is-html contains-html is-sql levenshtein rouge-n bleu gleu"
    " word-count is-refusal latency cost similar finish-reason llm-rubric factuality model-graded-closedqa select-best"
    " max-score javascript python"
).split()
_TYPE = re.compile(r"(?:not-)?([a-z]+(?:-[a-z]+)*)(?:\([^)]*\))?\s*:")
_NAMED = re.compile(r"(not-)?([a-z]+(?:-[a-z]+)*)(?:\(([\d.]+)\))?(?::\s?(.*))?", re.DOTALL)
_SHORT = {"fn": "javascript", "eval": "javascript", "grade": "llm-rubric"}


def check_of(text: str) -> dict[str, Any]:
    """The check of an `__expected` cell. Raises: InvalidRequest: Its type is close to one that there is."""
    found = from_csv_cell(text)
    match = _TYPE.match(text)
    if found["type"] != "equals" or match is None or match[1] in ("equals", *_SHORT):
        return found
    if close := difflib.get_close_matches(match[1], KINDS, n=1, cutoff=0.75):
        raise InvalidRequest(
            f"{match[0][:60]!r} is no check; did you mean {close[0]}? To compare with the text itself write equals: …"
        )
    return found


def from_csv_cell(text: str) -> dict[str, Any]:
    """Stands in until the checks have it."""
    match = _NAMED.fullmatch(text.strip())
    if match and (kind := _SHORT.get(match[2], match[2])) in KINDS and (match[4] is not None or kind.startswith("is-")):
        found: dict[str, Any] = {"type": f"{match[1] or ''}{kind}"}
        found |= {"threshold": float(match[3])} if match[3] else {}
        return found | ({"value": match[4]} if match[4] else {})
    return {"type": "equals", "value": text}


def with_config(
    checks: Mapping[str, dict[str, Any]], column: str, threshold: float | None
) -> dict[str, dict[str, Any]]:
    """The checks with the threshold that `__config:__expectedN:threshold` gives one of them. Raises: InvalidRequest"""
    name = column.split(":")[1]
    target = name if name in checks else {"__expected": "__expected1", "__expected1": "__expected"}.get(name, name)
    if target not in checks:
        raise InvalidRequest(f"{column} has a value, and {name} has none")
    return {**checks, target: {**checks[target], "threshold": threshold}}
