"""The log by filter: pages and totals, each found by the way that leaves least to look at."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, select

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
from core.storage.calls.stretches import Span, side_by_side, stretches
from core.storage.engine.bulk import is_one_of
from core.storage.engine.damaged import readable
from core.storage.engine.database import Database
from core.storage.schema import generation_bodies, generations

COUNTED_S = 0.08  # so long is counted back, where no index answers
MOST_LISTED = 2000  # so many calls are summed from their rows
_CURSOR = re.compile(r"(\d{1,18})\.([\w:.-]{0,60})\.([0-9a-f]{12})")
# What rollups are kept by, and the fields of the filter that ask for it.
_ROLLED_UP = {"model": "model", "vendor": "provider", "source": "source", "status": "status", "error": "error_class"}
_WHOLE_DAYS = frozenset({"since", "until", "calls", *_ROLLED_UP})
Place = tuple[int, str]
c = generations.c
IS_FAILED = c.status.not_in(("ok", "stopped"))
_WITH_TEXTS = (*with_body().selected_columns, generation_bodies.c.search_text)
_LISTED = (c.id, c.created_at, c.status, c.cost_nano_usd)


class Listed(NamedTuple):
    """A page of calls: their rows, and where the next begins; None = there is none.

    since: What is older is not in the total; None = all is.
    """

    ids: list[str]
    following: Place | None
    total: Counted | None
    note: str = ""
    since: datetime | None = None


class LogStore(GenerationStore):
    """Reads the log by filter; writing goes through the Writer."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._rollups = RollupStore(database)

    def page(
        self, wanted: LogFilter, limit: int, before: Place | None, *, counts: bool = True, is_exact: bool = False
    ) -> Listed:
        """The newest calls before a place. counts: Whether the total is wanted. is_exact: However long that takes."""
        until_s = time.monotonic() + (float("inf") if is_exact else COUNTED_S)
        with self._database.read() as connection:
            be_quick(connection)
            conditions = Conditions(connection, wanted)
            if wanted.text:
                found = search.find(connection, conditions, wanted.text, limit, before)
                total = found.total_of(_summed) if counts else None
                return _listed(found.rows, limit, found.reached, total, found.note if counts or found.reached else "")
            way, _ = best_way(connection, conditions)
            is_rolled_up = wanted.given.keys() <= _WHOLE_DAYS
            if counts and not (way.field_name or is_rolled_up or wanted.feedback == "none"):
                spans = stretches(connection, *conditions.range_us)
                if spans[1:]:
                    return self._counted_back(wanted, spans, limit, before, until_s)
            sums = counts and before is None and not is_rolled_up
            most = max(limit + 1, MOST_LISTED) if sums else limit + 1
            rows = connection.execute(walk(conditions, way, most, before)).all()
            if not counts:
                return _listed(rows, limit)
            if before is None and len(rows) < most:
                return _listed(rows, limit, total=_summed(rows))
            total = None if is_rolled_up else self._counted(connection, wanted, conditions, way)
        return _listed(rows, limit, total=total or self._rolled_up(wanted))

    def _counted_back(
        self, wanted: LogFilter, spans: list[Span], limit: int, before: Place | None, until_s: float
    ) -> Listed:
        """A page and the total of a filter that no index answers, as far back as the time goes."""
        seen = side_by_side(spans, lambda span: self._sums(_within(wanted, span)), until_s)
        total = _together([Counted(0, 0, Decimal(0), 0), *(found for _, (found, _) in seen)])
        (reached, _), _ = seen[-1]
        is_whole = len(seen) == len(spans)
        with self._database.read() as connection:
            be_quick(connection)
            if before is not None:
                conditions = Conditions(connection, wanted)
                rows = list(connection.execute(walk(conditions, Way(), limit + 1, before)).all())
            else:
                rows = []
                for span in (ends for _, (_, ends) in seen if ends):
                    conditions = Conditions(connection, _within(wanted, span))
                    rows += connection.execute(walk(conditions, Way(), limit + 1 - len(rows), None)).all()
                    if len(rows) > limit:
                        break
        if is_whole:
            return _listed(rows, limit, total=total)
        note = f"Counted back to {from_us(reached):%Y-%m-%d %H:%M} UTC; there may be older ones."
        goes_on = (reached, "") if before is None else None
        return _listed(rows, limit, goes_on, total, note, since=from_us(reached))

    def _counted(self, connection: Connection, wanted: LogFilter, conditions: Conditions, way: Way) -> Counted:
        if wanted.feedback == "none":  # which of all calls are without, would be looked up one by one
            everything, with_one = (
                self.page(replace(wanted, feedback=each), 1, None, is_exact=True).total for each in (None, "any")
            )
            assert everything is not None and with_one is not None  # noqa: S101 - no text is looked for
            return _without(everything, with_one)
        return _counted(connection, conditions, way)[0]

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
        place: Place | None = None
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
        return self._sums(wanted)[0]

    def _sums(self, wanted: LogFilter) -> tuple[Counted, Span | None]:
        """The total from the rows, and the stretch in which they are; None = there are none."""
        with self._database.read() as connection:
            be_quick(connection)
            return _counted(connection, Conditions(connection, wanted), Way())


def walk(conditions: Conditions, way: Way, most: int, before: Place | None, *columns: Any) -> Any:
    """A selection of the newest of what is found."""
    statement = select(*(columns or _LISTED)).select_from(way.start).where(*conditions.of(way, before))
    return statement.order_by(way.at.desc(), c.id.desc()).limit(most)


def be_quick(connection: Connection) -> None:
    """Spare PostgreSQL compiling a statement, which takes longer than it does, and reading whole rows for it."""
    if connection.dialect.name != "sqlite":
        # Room for which rows an index finds: with less, only pages are known, and all in them is looked at.
        values = {"jit": "off", "random_page_cost": "1.1", "work_mem": "64MB", "enable_seqscan": "off"}
        connection.execute(select(*(func.set_config(name, value, True) for name, value in values.items())))


def _counted(connection: Connection, conditions: Conditions, way: Way) -> tuple[Counted, Span | None]:
    failed = func.sum(case((IS_FAILED, 1), else_=0))
    sums = (func.count(), failed, func.sum(c.cost_nano_usd), func.count() - func.count(c.cost_nano_usd))
    ends = (func.min(c.created_at), func.max(c.created_at))
    statement = select(*sums, *ends).select_from(way.start).where(*conditions.of(way))
    *found, first, last = connection.execute(statement).one()
    return _to_counted(*(int(each or 0) for each in found)), None if first is None else (first, last + 1)


def _to_counted(n: int, n_failed: int, nano: int, n_unpriced: int) -> Counted:
    return Counted(n, n_failed, from_nano(nano), n_unpriced)


def _summed(rows: Sequence[Any]) -> Counted:
    costs = [row.cost_nano_usd for row in rows if row.cost_nano_usd is not None]
    n_failed = sum(row.status not in ("ok", "stopped") for row in rows)
    return _to_counted(len(rows), n_failed, sum(costs), len(rows) - len(costs))


def _within(wanted: LogFilter, span: Span) -> LogFilter:
    return replace(wanted, since=from_us(span[0]), until=from_us(span[1]))


def _together(parts: Sequence[Counted]) -> Counted:
    return Counted(*(sum(values) for values in zip(*parts, strict=True)))


def _without(whole: Counted, part: Counted) -> Counted:
    cost, n_unpriced = whole.cost_usd - part.cost_usd, whole.n_unpriced - part.n_unpriced
    return Counted(whole.n - part.n, whole.n_failed - part.n_failed, cost, n_unpriced)


def _listed(
    rows: Sequence[Any],
    limit: int,
    reached: Place | None = None,
    total: Counted | None = None,
    note: str = "",
    *,
    since: datetime | None = None,
) -> Listed:
    """reached: The place down to which was looked, where that is not the end."""
    ids = [row.id for row in rows[:limit]]
    following = (rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else reached
    return Listed(ids, following, total, note, since)


def to_cursor(wanted: LogFilter, place: Place) -> str:
    return f"{place[0]}.{place[1]}.{wanted.digest}"


def from_cursor(wanted: LogFilter, cursor: str) -> Place:
    """Raises: InvalidRequest: It is no place in the log, or one in what another filter found."""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidRequest(f"cursor == {cursor[:80]!r}, must be the `next` of the page before", param="cursor")
    if found[3] != wanted.digest:
        raise InvalidRequest("The cursor is of another filter: ask for the first page again.", param="cursor")
    return int(found[1]), found[2]
