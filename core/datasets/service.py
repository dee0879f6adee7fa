"""Datasets for their users: versions that never change, each an ordered list of rows."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice

from core import clock
from core.domain.dataset import Dataset, DatasetRow, DatasetVersion
from core.errors import Conflict, InvalidRequest
from core.formats import strict_json as json
from core.formats.names import check_own, missing, split_ref
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.library.datasets import DatasetStore, PlacedRow

AT_ONCE = 1000
MAX_ROWS = 1_000_000
MAX_ROW_BYTES = 16_000_000


class DatasetService:
    """uses: Each gives the places that refer to a dataset, in words; it is not deleted while there are any."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = DatasetStore(database)
        self._writer = writer
        self.uses: list[Callable[[str], Iterable[str]]] = []

    def save(
        self, name: str, rows: Iterable[DatasetRow], *, origin: str = "", author: str = "", note: str = ""
    ) -> DatasetVersion:
        """The version of these rows: a new one, unless one of this name has the same in the same order.

        Rows are written as they come, some at a time; the version is there once all are.

        Raises:
            InvalidRequest: The name is no name, there is no row, or one cannot be kept; it is named by its place.
        """
        check_own("dataset", name)
        remarks = [text.strip()[:2000] for text in (origin, note, author)]
        if problem := json.problem_of(remarks):
            raise InvalidRequest(problem)
        version_id: str = self._writer.run(lambda connection: self._store.begin(connection, name, *remarks))
        try:
            version = self._written(name, version_id, rows, *remarks)
            found: DatasetVersion = self._writer.run(lambda c: self._store.finish(c, version_id, version))
        except BaseException:
            self._writer.run(lambda connection: self._store.drop(connection, version_id))
            raise
        return found

    def _written(
        self, name: str, version_id: str, rows: Iterable[DatasetRow], origin: str, note: str, author: str
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
            origin=origin,
            note=note,
            author=author,
        )

    def add(
        self, name: str, rows: Iterable[DatasetRow], *, origin: str = "", author: str = "", note: str = ""
    ) -> DatasetVersion:
        """A version with rows at the end of the newest; the first one, if there is none."""
        newest = self._store.version(name, None)
        before = self.iterate(newest.ref) if newest else ()
        return self.save(name, chain(before, rows), origin=origin, author=author, note=note)

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
