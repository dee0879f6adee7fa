"""Checks in the cells of a CSV file: `type: value`, `type(threshold): value`; all else is equals. Pure."""

import re
from typing import Any

from core.checks import grading
from core.checks import javascript as js
from core.checks.kinds.text import split_list

TYPES = sorted(set(grading.KINDS) | set(grading.UNSUPPORTED), key=lambda name: -len(name))
_CELL = re.compile(rf"(not-)?({'|'.join(map(re.escape, TYPES))})(?:\((\d+(?:\.\d+)?)\))?(?::([\s\S]*))?", re.ASCII)
# These had a threshold of 0.75 where their cell names none, also where it says little (latency, cost).
_WITH_THRESHOLD = frozenset(
    "answer-relevance classifier context-faithfulness context-recall context-relevance cost latency levenshtein"
    " perplexity-score perplexity rouge-n similar starts-with".split()
)
_PREFIXES = {
    **dict.fromkeys(("javascript:", "fn:", "eval:"), "javascript"),
    "python:": "python",
    **dict.fromkeys(("grade:", "llm-rubric:"), "llm-rubric"),
}


def from_csv_cell(text: str) -> dict[str, Any]:
    """The check of an `__expected` cell; {} for an empty one. A type that is not known is a text to be equal to.

    Raises:
        CheckError: A list whose quotes do not fit.
    """
    cell = js.trim(text)
    if not cell:
        return {}
    if check := _code_or_rubric(cell):
        return check
    found = _CELL.fullmatch(cell)
    if found is None:
        return {"type": "equals", "value": cell}
    kind, value = found[2], found[4]
    check = {"type": f"{found[1] or ''}{kind}"}
    if kind.endswith(("contains-any", "contains-all")):
        if value is not None:
            check["value"] = split_list(value) if value else value
    elif value is not None:
        check["value"] = value if kind in ("contains-json", "is-json") else js.trim(value)
    if kind in _WITH_THRESHOLD:
        check["threshold"] = float(found[3]) if found[3] else 0.8 if kind == "similar" else 0.75
    return check


def _code_or_rubric(cell: str) -> dict[str, Any]:
    for prefix, kind in _PREFIXES.items():
        if cell.startswith(prefix):
            value = cell[len(prefix) :]
            return {"type": kind, "value": value if kind == "llm-rubric" else js.trim(value)}
    if cell.startswith("file://") and re.search(r"\.(?:[cm]?[jt]s|py)(?::|$)", cell):
        is_python = ".py" in cell
        return {"type": "python" if is_python else "javascript", "value": js.trim(cell[7:]) if is_python else cell}
    return {}
