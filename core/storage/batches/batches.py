"""Batches and their lines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, case, func, insert, literal_column, select, update

from core.domain.batches.batch import Batch, BatchError, BatchLine
from core.formats import strict_json as json
from core.formats.money import from_nano
from core.storage.batches.schema import batch_lines, batches
from core.storage.engine.damaged import each, readable, whole
from core.storage.engine.database import Database
from core.storage.engine.records import from_row, to_row
from core.storage.runs import Unfinished, move, read_unfinished
from core.storage.schema import generations

_b, _l = batches.c, batch_lines.c
_ERRORS = each(lambda values: BatchError(**values))


class BatchStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def unfinished(self) -> list[Unfinished]:
        return read_unfinished(self._database, batches)

    def get(self, batch_id: str) -> Batch | None:
        [*rows] = self._database.rows(select(batches).where(_b.id == batch_id))
        return whole("batch", rows[0], self._counted) if rows else None

    def page(self, limit: int, after: str, *, key_id: str | None) -> tuple[list[Batch], bool]:
        """Newest first, as their ids are, and whether there are more. key_id: None = of all."""
        statement = select(batches)
        if key_id is not None:
            statement = statement.where(_b.key_id == key_id)
        if after:
            statement = statement.where(_b.id < after)
        rows = self._database.rows(statement.order_by(_b.id.desc()).limit(limit + 1))
        return readable("batch", rows[:limit], self._counted), len(rows) > limit

    def _counted(self, row: Any) -> Batch:
        """A batch with its counts as they are now, which its row holds once it is over."""
        batch = _to_batch(row)
        if batch.is_over or batch.phase == "validating":
            return batch
        with self._database.read() as connection:
            n_ok, n_failed = counts(connection, batch.id)
        # Of a vendor's batch the row says how far that is, before its results are here.
        return _to_batch(row, n_ok=max(n_ok, batch.n_ok), n_failed=max(n_failed, batch.n_failed))

    def lost(self, batch_id: str, start: int) -> list[BatchLine]:
        """The lines that an earlier start has asked and not ended."""
        wanted = select(batch_lines).where(_l.batch_id == batch_id, _l.state == "running", _l.start < start)
        return [from_row(BatchLine, row) for row in self._database.rows(wanted.order_by(_l.line))]

    def waiting(self, batch_id: str, after: int, limit: int) -> list[BatchLine]:
        """Lines that nobody has asked or answered, in their order."""
        wanted = select(batch_lines).where(_l.batch_id == batch_id, _l.state == "waiting", _l.line > after)
        return [from_row(BatchLine, row) for row in self._database.rows(wanted.order_by(_l.line).limit(limit))]

    # In transactions

    @staticmethod
    def insert(connection: Connection, batch: Batch) -> None:
        connection.execute(insert(batches).values(**_to_row(batch)))

    @staticmethod
    def move(connection: Connection, batch_id: str, to: str, came_from: tuple[str, ...], **values: Any) -> bool:
        """See `core.storage.runs.move`."""
        return move(connection, batches, batch_id, to, came_from, **values)

    @staticmethod
    def turn(
        connection: Connection, batch_id: str, start: int | None, came_from: tuple[str, ...], values: Mapping[str, Any]
    ) -> bool:
        """Change a batch that is not over, if its phase is one of these; start: only if it is still in this one."""
        wanted = update(batches).where(_b.id == batch_id, _b.phase.in_(came_from), _b.status != "ended")
        if start is not None:
            wanted = wanted.where(_b.n_starts == start, _b.status == "running")
        return connection.execute(wanted.values(**values)).rowcount > 0

    @staticmethod
    def add_lines(connection: Connection, batch_id: str, lines: Sequence[BatchLine]) -> None:
        rows = [to_row(batch_lines, line, batch_id=batch_id, state="waiting") for line in lines]
        if rows:
            connection.execute(insert(batch_lines), rows)

    @staticmethod
    def drop_lines(connection: Connection, batch_id: str) -> None:
        connection.execute(batch_lines.delete().where(_l.batch_id == batch_id))

    @staticmethod
    def claim(
        connection: Connection, batch_id: str, start: int, limit: int, now_us: int
    ) -> tuple[str, list[BatchLine]]:
        """(the batch's phase, waiting lines that are this start's to ask); an empty phase = it is no longer ours."""
        mine = select(_b.phase).where(_b.id == batch_id, _b.n_starts == start, _b.status == "running")
        phase = connection.execute(mine.with_for_update()).scalar() or ""
        if phase != "in_progress" or not limit:
            return phase, []
        waiting = select(batch_lines).where(_l.batch_id == batch_id, _l.state == "waiting")
        lines = [from_row(BatchLine, row) for row in connection.execute(waiting.order_by(_l.line).limit(limit))]
        taken = _l.line.in_([line.line for line in lines])
        values = {"state": "running", "start": start, "asked_at": now_us}
        connection.execute(update(batch_lines).where(_l.batch_id == batch_id, taken).values(**values))
        return phase, lines

    @staticmethod
    def end_line(connection: Connection, batch_id: str, line: BatchLine, start: int, **values: Any) -> bool:
        """Say what became of a line that is asked, if it is still in this start; 0 = its vendor's batch has it."""
        mine = [_l.batch_id == batch_id, _l.line == line.line]
        mine += [_l.state == "running", _l.start == start] if start else [_l.state == "waiting"]
        return connection.execute(update(batch_lines).where(*mine).values(**values)).rowcount > 0

    @staticmethod
    def end_others(connection: Connection, batch_id: str, limit: int, result_of: Callable[[BatchLine], bytes]) -> int:
        """Let lines that have not ended fail; how many those were, at most `limit`."""
        left = (_l.batch_id == batch_id, _l.state.in_(("waiting", "running")))
        rows = connection.execute(select(batch_lines).where(*left).order_by(_l.line).limit(limit)).all()
        for line in (from_row(BatchLine, row) for row in rows):
            values = {"state": "failed", "result": result_of(line)}
            connection.execute(update(batch_lines).where(*left, _l.line == line.line).values(**values))
        return len(rows)


def counts(connection: Connection, batch_id: str) -> tuple[int, int]:
    """The number of lines that were answered, and of those that failed."""
    n_ok, n_failed = (func.count(case((_l.state == state, 1))) for state in ("ok", "failed"))
    row = connection.execute(select(n_ok, n_failed).where(_l.batch_id == batch_id)).one()
    return int(row[0]), int(row[1])


def result_bytes(connection: Connection, batch_id: str, state: str) -> int:
    """The length of all results of the lines in a state."""
    wanted = select(func.sum(func.length(_l.result))).where(_l.batch_id == batch_id, _l.state == state)
    return int(connection.execute(wanted).scalar() or 0)


def usage_of(connection: Connection, batch_id: str) -> dict[str, Any]:
    """The tokens and the cost of all calls of a batch; a cost that is not known makes the sum so."""
    g = generations.c
    names = ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens", "cost_nano_usd")
    sums = [func.coalesce(func.sum(g[name]), 0) for name in names]
    unknown = func.count(case((g.cost_nano_usd.is_(None), literal_column("1"))))
    *tokens, nano, n_unknown = connection.execute(select(*sums, unknown).where(g.ref_id == batch_id)).one()
    found: dict[str, Any] = dict(zip(names, map(int, tokens), strict=False))
    return found | {"cost_usd": None if n_unknown else f"{from_nano(int(nano)):f}"}


def errors_to_json(errors: Sequence[BatchError]) -> str:
    return json.dumps([asdict(error) for error in errors])


def _to_row(batch: Batch) -> dict[str, Any]:
    made = {
        "errors": errors_to_json(batch.errors),
        "metadata": None if batch.metadata is None else json.dumps(batch.metadata),
        "headers": json.dumps(batch.headers),
        "usage": None,
    }
    return to_row(batches, batch, **made)


def _to_batch(row: Any, **others: Any) -> Batch:
    made = {
        "errors": _ERRORS(row.errors),
        "metadata": None if row._mapping["metadata"] is None else json.loads(row._mapping["metadata"]),
        "headers": json.loads(row.headers),
        "usage": None if row.usage is None else json.loads(row.usage),
    }
    return from_row(Batch, row, **made, **others)
