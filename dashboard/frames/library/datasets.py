"""Datasets, their versions and rows, and files that may become one."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from core.datasets.reading import Preview
from core.domain.evaluation.dataset import Dataset, DatasetRow, DatasetVersion
from core.formats import strict_json as json
from dashboard import formatting, tables

SHOWN = 12  # columns of variables; a row that is opened shows all


def listed(found: Sequence[Dataset]) -> pd.DataFrame:
    """A row a dataset."""
    return tables.frame(
        found,
        {
            "name": lambda dataset: dataset.name,
            "rows": lambda dataset: dataset.newest.n_rows,
            "without a check": lambda dataset: dataset.newest.n_without_checks,
            "versions": lambda dataset: dataset.n_versions,
            "columns": lambda dataset: formatting.short(", ".join(dataset.newest.columns), 60) or None,
            "origin": lambda dataset: dataset.newest.origin or None,
            "changed": lambda dataset: dataset.newest.created_at,
        },
    )


def versions(found: Sequence[DatasetVersion]) -> pd.DataFrame:
    """A row a version."""
    return tables.frame(
        found,
        {
            "version": lambda version: version.number,
            "rows": lambda version: version.n_rows,
            "without a check": lambda version: version.n_without_checks,
            "origin": lambda version: version.origin or None,
            "note": lambda version: version.note or None,
            "author": lambda version: version.author or None,
            "saved": lambda version: version.created_at,
        },
    )


def rows(found: Sequence[DatasetRow], start: int = 0) -> pd.DataFrame:
    """A row a case: its variables or its last turn, and what an answer is held against."""
    columns = list(dict.fromkeys(name for row in found for name in row.variables))[:SHOWN]
    values: dict[str, Any] = {"row": [start + n for n in range(1, len(found) + 1)]}
    if any(row.messages for row in found):
        values["last turn"] = [_cell(row.messages[-1].get("content")) if row.messages else None for row in found]
    for name in columns:  # under a name of its own: a variable may be called as a column here is
        values[f"{name} " if name in (*values, "expected", "checks", "tags") else name] = [
            _cell(row.variables.get(name)) for row in found
        ]
    values["expected"] = [_cell(row.expected) for row in found]
    values["checks"] = ["; ".join(map(check, row.checks)) or None for row in found]
    if any(row.tags for row in found):
        values["tags"] = [", ".join(row.tags) or None for row in found]
    return pd.DataFrame(values)


def names(frame: pd.DataFrame) -> dict[str, Any]:
    """The heads of `rows`: the names of variables as they are written."""
    own = ("row", "last turn", "expected", "checks", "tags")
    return {name: {"label": name} for name in map(str, frame.columns) if name not in own}


def check(each: Any) -> str:
    value = each.get("value")
    return f"{each.get('type')}: {_cell(value)}" if value is not None else str(each.get("type"))


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return formatting.short(text, 120)


def problems(preview: Preview) -> pd.DataFrame:
    """A row a fault."""
    return pd.DataFrame([{"line": problem.line, "problem": problem.text} for problem in preview.problems])


def roles(preview: Preview) -> pd.DataFrame:
    """A row a column, with an example of what stands in it."""
    first = preview.rows[0] if preview.rows else DatasetRow()
    examples = {**first.variables, **first.metadata}
    known = {"expected": first.expected, "tags": ", ".join(first.tags), "description": first.description}
    return pd.DataFrame(
        [
            {
                "column": column,
                "used as": preview.layout.role(column),
                "example": _cell(examples.get(column, known.get(preview.layout.role(column)))),
            }
            for column in preview.columns
        ]
    )
