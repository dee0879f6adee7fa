"""Datasets for their users: versions that never change, each an ordered list of rows."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

from core import clock
from core.datasets import exporting
from core.datasets.decoding import Data
from core.datasets.layouts import Layout, gives_back
from core.datasets.reading import Preview, read
from core.domain.evaluation.dataset import Dataset, DatasetRow, DatasetVersion
from core.domain.generation import Generation
from core.errors import Conflict, InvalidRequest
from core.formats import strict_json as json
from core.formats.names import check_own, missing, split_ref
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.library.datasets import DatasetStore, PlacedRow

AT_ONCE = 1000


class Remarks(NamedTuple):
    """Words that are kept of a version beside its rows."""

    origin: str = ""
    note: str = ""
    author: str = ""


class DatasetService:
    """uses: Each gives the places that refer to a dataset, in words; it is not deleted while there are any."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = DatasetStore(database)
        self._writer = writer
        self.uses: list[Callable[[str], Iterable[str]]] = []

    # Bringing in

    def read(
        self,
        data: Data,
        format: str | None = None,
        *,
        name: str = "",
        mapping: Mapping[str, str] | None = None,
        encoding: str = "",
    ) -> Preview:
        """A file as it would be imported; nothing is kept. See core.datasets.reading.read."""
        return read(data, format, name=name, mapping=mapping, encoding=encoding)

    def load(
        self,
        preview: Preview,
        name: str,
        *,
        skip_bad: bool = False,
        adds: bool = False,
        note: str = "",
        author: str = "",
    ) -> DatasetVersion:
        """Import a file that was read.

        skip_bad: Leave bad rows out; the note of the version says how many, and their lines.
        adds: Put the rows at the end of the newest version.

        Raises:
            InvalidRequest: A row is bad, named by its line.
        """
        if preview.problems and skip_bad:
            lines = ", ".join(str(problem.line) for problem in preview.problems[:20])
            more = " …" if preview.n_problems > 20 else ""
            were = "row was" if preview.n_problems == 1 else "rows were"
            note = f"{note} {preview.n_problems:,} bad {were} left out: line {lines}{more}.".strip()
        rows = preview.iterate(skip_bad=skip_bad)
        remarks = Remarks(preview.name, note, author)
        return self._save(name, self._after(name, rows) if adds else rows, remarks, preview.layout)

    def save(
        self, name: str, rows: Iterable[DatasetRow], *, origin: str = "", author: str = "", note: str = ""
    ) -> DatasetVersion:
        """The version of these rows: a new one, unless one of this name has the same in the same order.

        Rows are written as they come, some at a time; the version is there once all are.

        Raises:
            InvalidRequest: The name is no name, there is no row, or one cannot be kept; it is named by its place.
        """
        return self._save(name, rows, Remarks(origin, note, author), None)

    def _save(self, name: str, rows: Iterable[DatasetRow], remarks: Remarks, layout: Layout | None) -> DatasetVersion:
        check_own("dataset", name)
        if problem := json.problem_of(list(remarks)):
            raise InvalidRequest(problem)
        remarks = Remarks(*(text.strip()[:2000] for text in remarks))
        version_id: str = self._writer.run(lambda connection: self._store.begin(connection, name, *remarks))
        try:
            version = self._written(name, version_id, rows, remarks, layout)
            found: DatasetVersion = self._writer.run(lambda c: self._store.finish(c, version_id, version))
        except BaseException:
            self._writer.run(lambda connection: self._store.drop(connection, version_id))
            raise
        return found

    def _written(
        self, name: str, version_id: str, rows: Iterable[DatasetRow], remarks: Remarks, layout: Layout | None
    ) -> DatasetVersion:
        digest, copies = hashlib.sha256(), Counter[str]()
        columns: dict[str, None] = {}
        n_without = position = 0
        left = iter(rows)
        while some := list(islice(left, AT_ONCE)):
            placed = []
            for row in some:
                content_id = _checked(row, position + 1)
                copies[content_id] += 1
                placed.append(PlacedRow(position, content_id, copies[content_id], row))
                digest.update(f"{placed[-1].id}\n".encode())
                columns.update(dict.fromkeys(row.variables))
                n_without += not row.has_check
                layout = layout if layout is not None and gives_back(layout, row) else None
                position += 1
            self._writer.run(partial(self._store.append, version_id=version_id, rows=placed))
        if not position:
            raise InvalidRequest("There is no row to keep.")
        return DatasetVersion(
            dataset=name,
            number=0,
            digest=digest.hexdigest(),
            n_rows=position,
            created_at=clock.now(),
            n_without_checks=n_without,
            columns=tuple(columns),
            layout=layout.as_dict() if layout is not None else {},
            **remarks._asdict(),
        )

    def add(
        self, name: str, rows: Iterable[DatasetRow], *, origin: str = "", author: str = "", note: str = ""
    ) -> DatasetVersion:
        """A version with rows at the end of the newest; the first one, if there is none."""
        newest = self._store.version(name, None)
        layout = Layout.of(newest.layout) if newest and newest.layout else None
        return self._save(name, self._after(name, rows), Remarks(origin, note, author), layout)

    def _after(self, name: str, rows: Iterable[DatasetRow]) -> Iterable[DatasetRow]:
        newest = self._store.version(name, None)
        return chain(self.iterate(newest.ref), rows) if newest else rows

    def from_log(
        self,
        name: str,
        calls: Iterable[Generation],
        *,
        expects: bool = False,
        skip_bad: bool = False,
        note: str = "",
        author: str = "",
    ) -> DatasetVersion:
        """Recorded calls as rows at the end of a dataset: their turns, and their answers as expected ones if asked.

        skip_bad: Leave out what cannot become a row; the version's note says how many calls those were.

        Raises:
            InvalidRequest: The texts of a call are not kept, or it holds more than texts; it is named by its id.
        """
        rows, bad = [], []
        for call in calls:
            try:
                rows.append(row_of_call(call, expects=expects))
            except InvalidRequest as error:
                if not skip_bad:
                    raise
                bad.append(error.message)
        left_out = f"{len(bad):,} calls were left out; the first: {bad[0]}" if bad else ""
        return self.add(name, rows, origin="log", note=f"{note} {left_out}".strip(), author=author)

    # Looking

    def get(self, ref: str) -> DatasetVersion:
        """`name` (its newest version) or `name@3`. Raises: NotFound, with close names."""
        name, which = split_ref(ref)
        number = int(which) if which.isdecimal() and len(which) < 10 else None
        found = None if which and number is None else self._store.version(name, number)
        if found is not None:
            return found
        newest = self._store.version(name, None)
        if newest is None:
            raise missing("dataset", name, self._store.names())
        raise missing("version", ref, [newest.ref])

    def all(self) -> list[Dataset]:
        return self._store.all()

    def versions(self, name: str) -> list[DatasetVersion]:
        """Newest first. Raises: NotFound"""
        found = self._store.versions(name)
        if not found:
            raise missing("dataset", name, self._store.names())
        return found

    def rows(self, ref: str, *, start: int = 0, limit: int | None = None) -> list[DatasetRow]:
        """Rows in their order, from a position on. Raises: NotFound"""
        version = self.get(ref)
        return self._store.rows(version, start, version.n_rows if limit is None else limit)

    def iterate(self, ref: str) -> Iterator[DatasetRow]:
        """All rows in their order, some of them in memory at a time. Raises: NotFound"""
        version = self.get(ref)
        for start in range(0, version.n_rows, AT_ONCE):
            yield from self._store.rows(version, start, AT_ONCE)

    def format_of(self, version: DatasetVersion, format: str | None) -> str:
        """The format in which `export` writes a version. Raises: InvalidRequest: There is no such format."""
        return exporting.format_of(version, format)

    def export(self, ref: str, format: str | None = None, *, is_safe: bool = False) -> Iterator[bytes]:
        """The rows as a file, in parts. Raises: NotFound. InvalidRequest: There is no such format.

        format: csv, jsonl or yaml; None = as they came.
        is_safe: Put a ' before what a spreadsheet would compute, which another import then takes for a part of it.
        """
        version = self.get(ref)
        return exporting.written(version, lambda: self.iterate(version.ref), format, is_safe=is_safe)

    def delete(self, name: str) -> None:
        """Delete a dataset with all its versions. Raises: NotFound. Conflict: something refers to it."""
        self.versions(name)
        used = [place for uses in self.uses for place in uses(name)]
        if used:
            raise Conflict(f"The dataset {name} is used by {', '.join(used[:5])}.", hint="Change that first.")
        self._writer.run(lambda connection: self._store.delete(connection, name))


def _checked(row: DatasetRow, place: int) -> str:
    """The id of a row's content. Raises: InvalidRequest: No database can keep it; it is named by its place."""
    content = row.as_dict()
    if problem := json.problem_of(content):
        raise InvalidRequest(f"row {place}: {problem}")
    try:
        return row.digest
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"row {place} cannot be written as JSON: {error}") from None


def row_of_call(call: Generation, *, expects: bool) -> DatasetRow:
    """A recorded call as a case. Raises: InvalidRequest: Its texts are not kept, or it holds more than texts."""
    turns = [{"role": "system", "content": call.system}] if call.system else []
    for message in call.messages:
        if any(not isinstance(part, str) for part in message.parts):
            raise InvalidRequest(f"The call {call.id} holds more than texts; only texts become rows.")
        role = "system" if message.is_system else "assistant" if message.role == "model" else "user"
        turns.append({"role": role, "content": message.text})
    if not call.messages:
        raise InvalidRequest(f"The texts of the call {call.id} are not kept, so it cannot become a row.")
    if expects and not call.text:
        raise InvalidRequest(f"The call {call.id} has no answer that could be expected.")
    metadata = {"generation_id": call.id, "model": call.request_model}
    return DatasetRow(messages=tuple(turns), expected=call.text if expects else None, tags=call.tags, metadata=metadata)
