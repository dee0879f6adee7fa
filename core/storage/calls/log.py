"""The log by filter: pages and totals, each found by the way that leaves least to look at."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, select, text

from core.clock import HOUR_US, from_us, to_us
from core.domain.generation import Generation
from core.domain.log.filter import LogFilter
from core.domain.metrics import Counted
from core.errors import InvalidRequest
from core.formats.money import from_nano
from core.storage.calls import search
from core.storage.calls.filters import Conditions, Way, best_way
from core.storage.calls.generations import GenerationStore, from_row, with_body
from core.storage.calls.rollups import RollupStore
from core.storage.engine.bulk import is_one_of
from core.storage.engine.damaged import readable
from core.storage.engine.database import Database
from core.storage.schema import generation_bodies, generations

N_PARTS = min(4, os.cpu_count() or 1)  # of the log that are read side by side; SQLite lets other threads run
MOST_LISTED = 2000  # so many calls are summed from their rows
_CURSOR = re.compile(r"(\d{1,18})\.([\w:.-]{0,60})\.([0-9a-f]{12})")
# What rollups are kept by, and the fields of the filter that ask for it.
_ROLLED_UP = {"model": "model", "vendor": "provider", "source": "source", "status": "status", "error": "error_class"}
_WHOLE_DAYS = frozenset({"since", "until", "calls", *_ROLLED_UP})
c = generations.c
IS_FAILED = c.status.not_in(("ok", "stopped"))
_WITH_TEXTS = (*with_body().selected_columns, generation_bodies.c.search_text)
_LISTED = (c.id, c.created_at, c.status, c.cost_nano_usd)


class Listed(NamedTuple):
    """A page of calls: their rows, and where the next begins; None = there is none."""

    ids: list[str]
    following: tuple[int, str] | None
    total: Counted | None
    note: str = ""


class LogStore(GenerationStore):
    """Reads the log by filter; writing goes through the Writer."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._rollups = RollupStore(database)

    def page(self, wanted: LogFilter, limit: int, before: tuple[int, str] | None, *, counts: bool = True) -> Listed:
        """The newest calls before a place. counts: Whether the total is wanted."""
        with self._database.read() as connection:
            be_quick(connection)
            conditions = Conditions(connection, wanted)
            if wanted.text:
                found = search.find(connection, conditions, wanted.text, limit, before)
                total = found.total_of(_summed) if counts else None
                return _listed(found.rows, limit, found.reached, total, found.note if counts or found.reached else "")
            way, _ = best_way(connection, conditions)
            is_rolled_up = wanted.given.keys() <= _WHOLE_DAYS
            sums = counts and before is None and not is_rolled_up
            most = max(limit + 1, MOST_LISTED) if sums else limit + 1
            rows = connection.execute(walk(conditions, way, most, before)).all()
            if not counts:
                return _listed(rows, limit)
            if before is None and len(rows) < most:
                return _listed(rows, limit, total=_summed(rows))
            total = None if is_rolled_up else self._counted(connection, wanted, conditions, way)
        return _listed(rows, limit, total=total or self._rolled_up(wanted))

    def _counted(self, connection: Connection, wanted: LogFilter, conditions: Conditions, way: Way) -> Counted:
        if wanted.feedback == "none":  # which of all calls are without, would be looked up one by one
            everything, with_one = (self.page(replace(wanted, feedback=each), 1, None).total for each in (None, "any"))
            assert everything is not None and with_one is not None  # noqa: S101 - no text is looked for
            return _without(everything, with_one)
        if way.field_name or connection.dialect.name != "sqlite":  # PostgreSQL divides the work by itself
            return _counted(connection, conditions, way)
        first, last = connection.execute(select(func.min(c.created_at), func.max(c.created_at))).one()
        since = max(first or 0, 0 if wanted.since is None else to_us(wanted.since))
        until = min((last or 0) + 1, 1 << 62 if wanted.until is None else to_us(wanted.until))
        step = max(1, -(-(until - since) // N_PARTS))
        edges = [*range(since, until, step), until]
        parts = [replace(wanted, since=from_us(a), until=from_us(b)) for a, b in pairwise(edges) if a < b]
        with ThreadPoolExecutor(N_PARTS) as pool:
            return _together([Counted(0, 0, Decimal(0), 0), *pool.map(self._of_rows, parts)])

    def latest(
        self, *, limit: int = 50, offset: int = 0, source: str | Sequence[str] | None = None, **given: Any
    ) -> list[Generation]:
        """The newest calls; with texts where a text is searched for. given: Other fields of the filter."""
        texts = bool(given.get("text"))
        if source is None or isinstance(source, str):
            return self.calls(self._first(LogFilter(source=source, **given), limit, offset), texts=texts)
        # One by one: together, all their calls would be sorted, or those of all others looked at.
        ids = [id_ for one in source for id_ in self._first(LogFilter(source=one, **given), limit + offset, 0)]
        return self.calls(ids, texts=texts)[offset : offset + limit]

    def _first(self, wanted: LogFilter, limit: int, offset: int) -> list[str]:
        if not wanted.text:
            with self._database.read() as connection:
                be_quick(connection)
                conditions = Conditions(connection, wanted)
                way, _ = best_way(connection, conditions)
                return list(connection.execute(walk(conditions, way, limit, None).offset(offset)).scalars())
        ids: list[str] = []
        place: tuple[int, str] | None = None
        while True:
            listed = self.page(wanted, limit + offset - len(ids), place, counts=False)
            ids, place = ids + listed.ids, listed.following
            if place is None or len(ids) >= limit + offset:
                return ids[offset:]

    def calls(self, ids: Sequence[str], *, texts: bool = False) -> list[Generation]:
        """The calls of these ids, the newest first."""
        with self._database.read() as connection:
            statement = (with_body() if texts else select(generations)).where(is_one_of(connection, c.id, ids))
            ordered = statement.order_by(c.created_at.desc(), c.id.desc())
            return readable("call", connection.execute(ordered).mappings(), from_row)

    def each(self, wanted: LogFilter, *, texts: bool) -> Iterator[Generation]:
        """All calls of a filter as they are at one moment, the oldest first, a few in memory at a time."""
        with self._database.read() as connection:
            be_quick(connection)
            conditions = Conditions(connection, wanted)
            bodies = search.Bodies(connection, wanted.text) if wanted.text else None
            way, _ = best_way(connection, conditions)
            start, where = way.start, conditions.of(way)
            if bodies is not None:
                start, where = start.join(generation_bodies), [*where, bodies.is_in]
            columns = _WITH_TEXTS if texts or bodies else (generations,)
            start = start.outerjoin(generation_bodies) if texts and bodies is None else start
            statement = select(*columns).select_from(start).where(*where).order_by(way.at, c.id)
            size = 200 if texts else 5000
            for rows in connection.execute(statement, execution_options={"yield_per": size}).mappings().partitions():
                found = rows if bodies is None else [row for row in rows if bodies.holds(row["search_text"])]
                yield from readable("call", found, from_row)

    def _rolled_up(self, wanted: LogFilter) -> Counted:
        """The total from the rollups, and of the hours that are cut from the rows."""
        equal = {column: value for name, column in _ROLLED_UP.items() if (value := getattr(wanted, name)) is not None}
        simulated = None if wanted.calls is None else wanted.calls == "simulated"
        since = 0 if wanted.since is None else to_us(wanted.since)
        until = 1 << 61 if wanted.until is None else to_us(wanted.until)
        first, last = -(-since // HOUR_US) * HOUR_US, until // HOUR_US * HOUR_US
        if first >= last:
            return self._of_rows(wanted)
        parts = [_to_counted(*self._rollups.counted((first, last), simulated=simulated, **equal))]
        if since < first:
            parts.append(self._of_rows(replace(wanted, until=from_us(first))))
        if wanted.until is not None and last < until:
            parts.append(self._of_rows(replace(wanted, since=from_us(last))))
        return _together(parts)

    def _of_rows(self, wanted: LogFilter) -> Counted:
        with self._database.read() as connection:
            return _counted(connection, Conditions(connection, wanted), Way())


def walk(conditions: Conditions, way: Way, most: int, before: tuple[int, str] | None, *columns: Any) -> Any:
    """A selection of the newest of what is found."""
    statement = select(*(columns or _LISTED)).select_from(way.start).where(*conditions.of(way, before))
    return statement.order_by(way.at.desc(), c.id.desc()).limit(most)


def be_quick(connection: Connection) -> None:
    """Spare PostgreSQL compiling a statement, which takes longer than it does, and reading whole rows for it."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT set_config('jit', 'off', true), set_config('random_page_cost', '1.1', true)"))


def _counted(connection: Connection, conditions: Conditions, way: Way) -> Counted:
    failed = func.sum(case((IS_FAILED, 1), else_=0))
    sums = (func.count(), failed, func.sum(c.cost_nano_usd), func.count() - func.count(c.cost_nano_usd))
    statement = select(*sums).select_from(way.start).where(*conditions.of(way))
    return _to_counted(*(int(each or 0) for each in connection.execute(statement).one()))


def _to_counted(n: int, n_failed: int, nano: int, n_unpriced: int) -> Counted:
    return Counted(n, n_failed, from_nano(nano), n_unpriced)


def _summed(rows: Sequence[Any]) -> Counted:
    costs = [row.cost_nano_usd for row in rows if row.cost_nano_usd is not None]
    n_failed = sum(row.status not in ("ok", "stopped") for row in rows)
    return _to_counted(len(rows), n_failed, sum(costs), len(rows) - len(costs))


def _together(parts: Sequence[Counted]) -> Counted:
    return Counted(*(sum(values) for values in zip(*parts, strict=True)))


def _without(whole: Counted, part: Counted) -> Counted:
    cost, n_unpriced = whole.cost_usd - part.cost_usd, whole.n_unpriced - part.n_unpriced
    return Counted(whole.n - part.n, whole.n_failed - part.n_failed, cost, n_unpriced)


def _listed(
    rows: Sequence[Any],
    limit: int,
    reached: tuple[int, str] | None = None,
    total: Counted | None = None,
    note: str = "",
) -> Listed:
    """reached: The place down to which was looked, where that is not the end."""
    ids = [row.id for row in rows[:limit]]
    following = (rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else reached
    return Listed(ids, following, total, note)


def to_cursor(wanted: LogFilter, place: tuple[int, str]) -> str:
    return f"{place[0]}.{place[1]}.{wanted.digest}"


def from_cursor(wanted: LogFilter, cursor: str) -> tuple[int, str]:
    """Raises: InvalidRequest: It is no place in the log, or one in what another filter found."""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidRequest(f"cursor == {cursor[:80]!r}, must be the `next` of the page before", param="cursor")
    if found[3] != wanted.digest:
        raise InvalidRequest("The cursor is of another filter: ask for the first page again.", param="cursor")
    return int(found[1]), found[2]
