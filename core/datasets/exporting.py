"""Versions of datasets as files: in the layout in which they came, else with a place for all that rows say."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from core.datasets.layouts import Layout, as_cell, record_of
from core.datasets.records import ONE_COLUMN, SEPARATORS
from core.domain.evaluation.dataset import DatasetRow, DatasetVersion
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.formats.text import safe_cell

FORMATS = ("csv", "jsonl", "yaml")
AT_ONCE = 500

Rows = Callable[[], Iterable[DatasetRow]]


def format_of(version: DatasetVersion, format_: str | None) -> str:
    """The format that a version is written in. Raises: InvalidRequest: There is no such format."""
    came = version.layout.get("format", "jsonl")
    found = format_ or ("jsonl" if came == "json" else came)
    if found not in FORMATS:
        raise InvalidRequest(f"format == {str(found)[:20]!r}, must be one of {', '.join(FORMATS)}")
    return str(found)


def written(version: DatasetVersion, rows: Rows, format_: str | None, *, is_safe: bool) -> Iterator[bytes]:
    """The file in parts. rows: Gives the rows from the first, as often as it is called."""
    found = format_of(version, format_)
    layout = Layout.of(version.layout) if version.layout else None
    if found == "csv":
        return _csv(layout if layout and layout.kind == "table" else _table_of(rows()), rows(), is_safe=is_safe)
    layout = layout if layout and layout.kind != "table" else Layout(kind="own")
    return _lines(layout, rows(), "- " if found == "yaml" else "")


def _lines(layout: Layout, rows: Iterable[DatasetRow], before: str) -> Iterator[bytes]:
    """A line of JSON for each row, which YAML takes as it is."""
    for row in rows:
        yield before.encode() + json.encoded(record_of(layout, row)) + b"\n"


def _table_of(rows: Iterable[DatasetRow]) -> Layout:
    """A table with a column for all that any row says."""
    columns: dict[str, str] = {}
    for row in rows:
        columns.update(dict.fromkeys(row.variables, "variable"))
        columns.update({name: name for name in ("expected", "tags") if getattr(row, name) not in (None, ())})
        columns.update(
            {f"__{name}": "test" for name in ("messages", "checks", "threshold", "description") if _has(row, name)}
        )
        columns.update(dict.fromkeys((f"__metadata:{name}" for name in row.metadata), "test"))
    roles = {name: role for name, role in columns.items() if role != "variable"}
    return Layout(kind="table", format="csv", columns=tuple(columns), roles=roles)


def _has(row: DatasetRow, name: str) -> bool:
    return getattr(row, name) not in (None, (), "")


def _csv(layout: Layout, rows: Iterable[DatasetRow], *, is_safe: bool) -> Iterator[bytes]:
    file = io.StringIO(newline="")
    separator = "," if layout.separator == ONE_COLUMN else layout.separator
    writer = csv.writer(file, delimiter=separator, lineterminator="\r\n")
    header = layout.header or layout.columns
    # A name with another separator in it would be taken for two.
    is_clear = not any(sign in name for name in header for sign in SEPARATORS)
    csv.writer(
        file, delimiter=separator, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL if is_clear else csv.QUOTE_ALL
    ).writerow(header)
    for number, row in enumerate(rows, 1):
        record = record_of(layout, row)
        cells = [as_cell(record.get(column, "")) for column in layout.columns]
        writer.writerow([safe_cell(cell) for cell in cells] if is_safe else cells)
        if number % AT_ONCE == 0:
            yield _taken(file)
    yield _taken(file)


def _taken(file: Any) -> bytes:
    text = file.getvalue()
    file.seek(0)
    file.truncate()
    return str(text).encode()
