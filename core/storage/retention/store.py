"""Rules of retention, how far they have come, and which process is at work on them."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, bindparam, delete, func, select, text, update

from core.clock import from_us
from core.domain.log.retention import PARTS, Due, Part, Progress, RetentionRule, Round, Sweep
from core.storage.engine.database import Database, Store
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import from_row, put, upsert
from core.storage.retention import sweeping
from core.storage.retention.schema import retention_progress, retention_rules, retention_state

_r, _p, _s = retention_rules.c, retention_progress.c, retention_state.c
_NOW = "now"


class RetentionStore(Store):
    def rules(self) -> list[RetentionRule]:
        return [from_row(RetentionRule, row) for row in self._database.rows(select(retention_rules).order_by(_r.scope))]

    def progress(self) -> list[Progress]:
        """Of all rules that ever deleted anything, or looked for it."""
        columns = (_p.scope, _p.part, _p.done_until, _p.reached, _p.n)
        return [Progress(*row) for row in self._database.rows(select(*columns).order_by(_p.scope, _p.part))]

    def last_round(self, is_alive: Callable[[str], bool]) -> Round:
        rows = self._database.rows(select(retention_state))
        if not rows or rows[0].begun_at is None:
            return Round()
        row = rows[0]
        return from_row(Round, row, is_running=bool(row.owner) and is_alive(row.owner))

    def state(self) -> Any | None:
        """The row of the state; None = nothing was ever done."""
        rows = self._database.rows(select(retention_state))
        return rows[0] if rows else None

    def newest_us(self) -> int | None:
        """The moment of the newest call; None = there is none."""
        return self._database.value(sweeping.NEWEST)

    def next_calls(self, sweep: Sweep, after: tuple[int, str], limit: int) -> list[tuple[int, str]]:
        """The moment and the id of the next calls of a sweep."""
        return [(int(at), id_) for at, id_ in self._database.rows(sweeping.found(sweep, after, limit))]

    def due(self, sweep: Sweep) -> Due:
        """The calls that a sweep would find now; texts that go with their calls are counted with these."""
        wanted: Select[Any] = sweeping.found(sweep, (sweep.after_us, ""), 1 << 62)
        rows = wanted.limit(None).order_by(None).subquery()
        [(n, oldest)] = self._database.rows(select(func.count(), func.min(rows.c.at)))
        return Due(
            sweep.scope, sweep.part, from_us(sweep.before_us), int(n), None if oldest is None else from_us(oldest)
        )

    # In transactions

    @staticmethod
    def put_rule(connection: Connection, rule: RetentionRule, now_us: int) -> None:
        row = {"scope": rule.scope, "texts_days": rule.texts_days, "calls_days": rule.calls_days, "changed_at": now_us}
        put(connection, retention_rules, row)
        look_at_all(connection)

    @staticmethod
    def drop_rule(connection: Connection, scope: str) -> bool:
        found = connection.execute(delete(retention_rules).where(_r.scope == scope)).rowcount > 0
        look_at_all(connection)
        return found

    @staticmethod
    def claim(connection: Connection, owner: str, now_us: int, is_alive: Callable[[str], bool]) -> Any | None:
        """The state as it was, if this process may delete from now on; None where another one does."""
        statement = upsert(connection.dialect.name, retention_state, ())
        connection.execute(statement.values(name=_NOW))
        row = connection.execute(select(retention_state).with_for_update()).one()
        if row.owner not in ("", owner) and is_alive(row.owner):
            return None
        values = {"owner": owner, "begun_at": now_us, "ended_at": None, "n_texts": 0, "n_calls": 0}
        connection.execute(update(retention_state).values(**values))
        return row

    @staticmethod
    def believe(connection: Connection, at_us: int) -> None:
        connection.execute(update(retention_state).where(_s.clock_at < at_us).values(clock_at=at_us))

    @staticmethod
    def release(connection: Connection, owner: str, **values: Any) -> None:
        connection.execute(update(retention_state).where(_s.owner == owner).values(owner="", **values))

    @staticmethod
    def begin(connection: Connection, sweep: Sweep) -> int:
        """The moment at which to go on with a rule."""
        statement = upsert(connection.dialect.name, retention_progress, ())
        connection.execute(statement.values(scope=sweep.scope, part=sweep.part))
        of_rule = _p.scope == sweep.scope, _p.part == sweep.part
        return int(connection.execute(select(_p.done_until).where(*of_rule)).scalar_one())

    @staticmethod
    def add(connection: Connection, sweep: Sweep, n: int, newest_us: int) -> None:
        """Count what was deleted."""
        values = {"of_scope": sweep.scope, "of_part": sweep.part, "added": n, "newest": newest_us + 1}
        _ADD.run(connection, values)
        _ADD_TO_ROUND[sweep.part].run(connection, values)

    @staticmethod
    def finish(connection: Connection, sweep: Sweep) -> None:
        """Let the next look at this rule begin where this one ended."""
        of_rule = _p.scope == sweep.scope, _p.part == sweep.part
        connection.execute(update(retention_progress).where(*of_rule).values(done_until=sweep.before_us))


def _add(dialect: str) -> Any:
    later = func.max if dialect == "sqlite" else func.greatest
    changes = {"n": _p.n + bindparam("added", type_=BigInteger)}
    changes["reached"] = later(_p.reached, bindparam("newest", type_=BigInteger))
    of_rule = _p.scope == bindparam("of_scope"), _p.part == bindparam("of_part")
    return update(retention_progress).where(*of_rule).values(**changes)


def _to_round(part: Part) -> Prepared:
    column = _s[f"n_{part}"]
    changes = {column.name: column + bindparam("added", type_=BigInteger)}
    return Prepared(lambda _: update(retention_state).values(**changes))


_ADD = Prepared(_add)
_ADD_TO_ROUND: dict[Part, Prepared] = {part: _to_round(part) for part in PARTS}


def look_at_all(connection: Connection) -> None:
    """Let the next round begin at the oldest call."""
    connection.execute(update(retention_progress).values(done_until=0))


def give_back(connection: Connection, n_pages: int) -> int:
    """SQLite: Give some room of what was deleted back to the disk; the pages that are still free."""
    driver: Any = connection.connection.driver_connection
    for _ in range(n_pages):  # Python's driver takes one step of it, which is one page
        driver.execute("PRAGMA incremental_vacuum(1)")
    return int(driver.execute("PRAGMA freelist_count").fetchone()[0])


def write_anew(database: Database) -> None:
    """SQLite: Write the whole file anew, with room for nothing that is gone."""
    with database.read() as connection, database.health.explained("writing"):
        driver: Any = connection.connection.driver_connection  # VACUUM has a transaction of its own
        for statement in ("PRAGMA auto_vacuum=INCREMENTAL", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            driver.execute(statement).fetchall()


def can_shrink(database: Database) -> bool:
    """SQLite: Whether free pages can be given back to the disk."""
    return database.value(text("PRAGMA auto_vacuum")) == 2


def checkpoint(database: Database) -> None:
    """SQLite: Bring what was written into the file, which nobody waits for; else a call's commit would do it."""
    with database.read() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
