"""Files of cases, looked at before anything is kept: their columns, first rows, and each fault with its line."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from core.datasets import decoding
from core.datasets.cells import unsupported
from core.datasets.decoding import Data
from core.datasets.layouts import BadRecord, Kind, Layout, fits, kind_of, roles_of, row_of
from core.datasets.records import ONE_COLUMN, Record, Shape, records, shape_of
from core.domain.evaluation.dataset import DatasetRow
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.formats.text import is_storable

FIRST = 10
UNCHECKED = "nothing of them can fail."
MOST_TOLD = 100
_EXPECTED = re.compile("_+expect", re.IGNORECASE)


class Problem(NamedTuple):
    """A fault of a file. line: Where the record begins; the number of the item in a JSON list."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


@dataclass(slots=True)
class _Notes:
    """Oddities of a file that are no faults."""

    blank: list[int] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    n_answers: int = 0
    unsupported: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A file as it was read, and its rows once more.

    rows: The first ten.
    problems: The first hundred bad rows of n_problems.
    warnings: What should be known before it is imported, in words.
    """

    data: Data = field(repr=False)
    name: str
    shape: Shape
    layout: Layout
    rows: tuple[DatasetRow, ...] = ()
    n_rows: int = 0
    n_without_checks: int = 0
    problems: tuple[Problem, ...] = ()
    n_problems: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.layout.columns

    def iterate(self, *, skip_bad: bool = False) -> Iterator[DatasetRow]:
        """The rows, read once more. Raises: InvalidRequest: One is bad, by its line, unless `skip_bad`."""
        if self.problems and not skip_bad:
            more = f" ({self.n_problems:,} rows are bad)" if self.n_problems > 1 else ""
            raise InvalidRequest(f"{self.problems[0]}{more}", hint="Mend the file, or skip bad rows.")
        for _, row in _rows(self.data, self.shape, self.layout, _Notes()):
            if isinstance(row, DatasetRow):
                yield row


def read(
    data: Data,
    format: str | None = None,
    *,
    name: str = "",
    mapping: Mapping[str, str] | None = None,
    encoding: str = "",
) -> Preview:
    """A file of cases as it would be imported.

    format: csv, jsonl, json or yaml; None = by the name's ending, else by what it holds.
    mapping: What a column is: variable, expected, tags, description, threshold or metadata.
    encoding: Empty = by the file's mark, else UTF-8.

    Raises:
        InvalidRequest: It cannot be read at all; what is wrong with single rows is in `problems`.
    """
    name = name or (data.name if isinstance(data, Path) else "")
    shape = shape_of(data, decoding.checked(encoding) if encoding else decoding.encoding_of(data), format, name)
    layout = _layout(data, shape, mapping)
    rows: list[DatasetRow] = []
    problems: list[Problem] = []
    notes = _Notes()
    n_rows = n_bad = n_without = 0
    for line, row in _rows(data, shape, layout, notes):
        if isinstance(row, str):
            n_bad += 1
            problems += [Problem(line, row)] if n_bad <= MOST_TOLD else []
            continue
        n_rows += 1
        n_without += not row.has_check
        rows += [row] if n_rows <= FIRST else []
    return Preview(
        data=data,
        name=name,
        shape=shape,
        layout=layout,
        rows=tuple(rows),
        n_rows=n_rows,
        n_without_checks=n_without,
        problems=tuple(problems),
        n_problems=n_bad,
        warnings=tuple(_warnings(shape, layout, notes, n_rows, n_without)),
    )


def _layout(data: Data, shape: Shape, mapping: Mapping[str, str] | None) -> Layout:
    if shape.format == "csv":
        return _layout_of_table(data, shape, mapping)
    kinds: dict[Kind, None] = {}
    columns: dict[str, None] = {}
    for record in islice(records(data, shape), 100):
        if record.values is not None:
            kinds[kind_of(record.values)] = None
            columns.update(dict.fromkeys(record.values))
    if not kinds:
        return Layout(kind="objects", format=shape.format)
    kind = "own" if "own" in kinds else next(iter(kinds))
    roles = roles_of(tuple(columns), mapping) if kind in ("objects", "chat") else {}
    return Layout(kind=kind, format=shape.format, columns=tuple(columns), roles=roles)


def _layout_of_table(data: Data, shape: Shape, mapping: Mapping[str, str] | None) -> Layout:
    header = next((each for each in records(data, shape) if each.values is None or "".join(each.values).strip()), None)
    if header is None:
        raise InvalidRequest("The file is empty.")
    if header.values is None:
        raise InvalidRequest(f"line {header.line}: {header.problem}.")
    cells = list(header.values)
    while len(cells) > 1 and not cells[-1].strip():  # separators at the end of the line
        cells.pop()
    columns = [cell.strip() or f"column_{n}" for n, cell in enumerate(cells, 1)]
    for n, column in enumerate(columns):
        if column in columns[:n]:
            raise InvalidRequest(f"line {header.line}: the column {column[:60]!r} is there twice.")
        if not is_storable(column):
            raise InvalidRequest(f"line {header.line}: the name of a column holds a NUL or half a character.")
    return Layout(
        kind="table",
        format="csv",
        columns=tuple(columns),
        roles=roles_of(columns, mapping),
        separator=shape.separator,
        header=tuple(cells) if cells != columns else (),
    )


def _rows(data: Data, shape: Shape, layout: Layout, notes: _Notes) -> Iterator[tuple[int, DatasetRow | str]]:
    """Each row with its line, or what is wrong with it."""
    is_table = layout.kind == "table"
    is_header = is_table
    for record in records(data, shape):
        if is_table and record.values is not None and not "".join(record.values).strip():
            notes.blank += [] if is_header else [record.line]
            continue
        if is_header:
            is_header = False
            continue
        yield record.line, _row(record, layout, notes)


def _row(record: Record, layout: Layout, notes: _Notes) -> DatasetRow | str:
    if record.values is None:
        return record.problem
    if layout.kind == "table":
        n, values = len(layout.columns), record.values
        if len(values) > n and any(values[n:]):
            return f"{len(values)} cells, and the header names {n} columns; a cell with a separator in it needs quotes"
        if len(values) < n:
            notes.short.append(record.line)
            values = [*values, *[""] * (n - len(values))]
        found: dict[str, Any] = dict(zip(layout.columns, values, strict=False))
    else:
        found = record.values
        if not fits(layout, found):
            return f"a record of another kind ({kind_of(found)}) than the first ({layout.kind})"
    if problem := json.problem_of(found):
        return problem
    try:
        row = row_of(layout, found)
    except BadRecord as error:
        return str(error)
    notes.unsupported.update(filter(None, map(unsupported, row.checks)))
    notes.n_answers += bool(row.messages) and row.expected is not None and not _says_expected(found)
    return row


def _says_expected(found: Mapping[str, Any]) -> bool:
    return any(name in found for name in ("expected", "ideal", "expected_output"))


def _warnings(shape: Shape, layout: Layout, notes: _Notes, n_rows: int, n_without: int) -> Iterator[str]:
    if not n_rows:
        yield "There is no row that can be read."
    elif n_without:
        which = "No row states" if n_without == n_rows else f"{n_without:,} of {n_rows:,} rows state neither"
        yield f"{which} a check {'or' if n_without == n_rows else 'nor'} an expected answer: {UNCHECKED}"
    yield from _warnings_of_table(shape, layout, notes)
    if notes.n_answers:
        ending = "rows end" if notes.n_answers > 1 else "row ends"
        yield f"{notes.n_answers:,} {ending} in an answer, which is taken for the expected one."
    if layout.kind in ("openai", "gemini"):
        yield "Only the turns are taken of each line: model and parameters are said by a run."
    if notes.unsupported:
        kinds = ", ".join(f"{kind} ({n:,})" for kind, n in notes.unsupported.most_common(5))
        yield f"Checks of these kinds are kept and cannot be made here: {kinds}."
    if odd := [name for name in layout.columns if _EXPECTED.match(name) and name not in layout.roles]:
        yield f"{', '.join(odd)[:200]}: variables, for columns of checks are called __expected, __expected2 and so on."
    if kept := [name for name in ("__prefix", "__suffix", "__providerOutput") if name in layout.columns]:
        yield f"{', '.join(kept)}: kept, and not applied."


def _warnings_of_table(shape: Shape, layout: Layout, notes: _Notes) -> Iterator[str]:
    if shape.separator == ONE_COLUMN:
        yield f"The first line names one column, {layout.columns[0][:60]!r}; commas in the rows are text."
    if not all(name.strip() for name in layout.header):
        yield "A column has no name; it is called by its place, such as column_2."
    if notes.short:
        yield f"{_lines(notes.short)} fewer cells than the header; what is missing is empty."
    if notes.blank:
        noun, verb = ("rows", "are") if len(notes.blank) > 1 else ("row", "is")
        yield f"{len(notes.blank):,} blank {noun} {verb} left out ({_numbers(notes.blank)})."


def _lines(found: list[int]) -> str:
    noun, verb = ("rows", "have") if len(found) > 1 else ("row", "has")
    return f"{len(found):,} {noun} ({_numbers(found)}) {verb}"


def _numbers(found: list[int]) -> str:
    more = " …" if len(found) > 5 else ""
    return f"line{'s' if len(found) > 1 else ''} {', '.join(map(str, found[:5]))}{more}"
