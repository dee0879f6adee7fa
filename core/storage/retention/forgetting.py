"""A user forgotten: texts and sessions of their calls go, and another name stands for them wherever they are summed."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from core.assignment.placement import ids_of_units
from core.clock import DAY_US
from core.domain.experiment import Experiment
from core.storage.engine.bulk import is_one_of
from core.storage.engine.database import Store
from core.storage.engine.records import upsert
from core.storage.experiments.schema import experiment_outcomes, experiment_units
from core.storage.gateway.schema import feedback
from core.storage.money import spend_by
from core.storage.money.ledger import lock_ledger
from core.storage.retention.answers import forget_answers
from core.storage.retention.others import clear_workflow_runs
from core.storage.retention.schema import deleted_spend, forgotten_users
from core.storage.retention.sweeping import clear_texts_of, held
from core.storage.schema import budgets, generations, votes, workflow_runs
from core.storage.schema import spend_by as spend_by_table

g, _f = generations.c, forgotten_users.c
_OF_CALL = ("id", "ref_id", "error_message", "key_id", "created_at", "latency_us")
_COLUMNS = [g[name] for name in dict.fromkeys((*spend_by.COLUMNS, *_OF_CALL))]

Sums = dict[tuple[Any, ...], list[int]]


class ForgettingStore(Store):
    def unfinished(self) -> list[str]:
        """Users who were being forgotten when a process ended."""
        return [row[0] for row in self._database.rows(select(_f.user_id).order_by(_f.begun_at))]

    def next_calls(self, user_id: str, limit: int) -> list[str]:
        wanted = select(g.id).where(g.user_id != "", g.user_id == user_id).order_by(g.created_at).limit(limit)
        return [row[0] for row in self._database.rows(wanted)]

    # In transactions

    @staticmethod
    def begin(connection: Connection, user_id: str, alias: str, now_us: int) -> str:
        """The name that takes the place of the user's: that of an earlier time that was cut off, or this one."""
        row = {"user_id": user_id, "alias": alias, "begun_at": now_us}
        connection.execute(upsert(connection.dialect.name, forgotten_users, ()), row)
        return str(connection.execute(select(_f.alias).where(_f.user_id == user_id)).scalar_one())

    @staticmethod
    def forget_calls(connection: Connection, user_id: str, alias: str, ids: Sequence[str]) -> int:
        lock_ledger(connection)
        mine = and_(is_one_of(connection, g.id, ids), g.user_id == user_id)
        rows = [dict(row) for row in connection.execute(select(*_COLUMNS).where(mine)).mappings()]
        if not rows:
            return 0
        found = [row["id"] for row in rows]
        forget_answers(connection, rows)
        clear_texts_of(connection, found, [row["id"] for row in rows if row["error_message"]])
        connection.execute(
            update(generations).where(is_one_of(connection, g.id, found)).values(user_id=alias, session_id="")
        )
        _move(connection, spend_by.sums_of(rows, _user_key), alias)
        runs = {row["ref_id"] for row in rows if row["ref_id"]} - set(held(connection))
        of_runs = select(workflow_runs.c.id).where(is_one_of(connection, workflow_runs.c.id, sorted(runs)))
        clear_workflow_runs(connection, list(connection.execute(of_runs).scalars()))
        return len(rows)

    @staticmethod
    def finish(connection: Connection, user_id: str, alias: str, experiments: Iterable[Experiment]) -> dict[str, int]:
        """Put the alias into all that is left of the user; how many rows of each kind there were."""
        lock_ledger(connection)
        _move_deleted(connection, user_id, alias)
        f, u, o = feedback.c, experiment_units.c, experiment_outcomes.c
        ids = [id_ for experiment in experiments for id_ in ids_of_units(experiment, [user_id])]
        of_unit = is_one_of(connection, u.assignment_id, ids), u.unit_id == user_id
        connection.execute(
            update(experiment_outcomes).where(is_one_of(connection, o.assignment_id, ids)).values(text=None)
        )
        budget = update(budgets).where(budgets.c.scope == f"user:{user_id}").values(scope=f"user:{alias}")
        done = {
            "opinions": update(feedback).where(f.user_id == user_id).values(user_id=alias, text=None),
            "units of experiments": update(experiment_units).where(*of_unit).values(unit_id=alias),
            "votes": update(votes).where(votes.c.voter == user_id).values(voter=alias),
            "budgets": budget,
        }
        found = {name: int(connection.execute(statement).rowcount) for name, statement in done.items()}
        connection.execute(delete(forgotten_users).where(_f.user_id == user_id))
        return found


def _user_key(row: Any) -> list[tuple[Any, ...]]:
    return [key for key in spend_by.keys_of(row) if key[1] == "user"]


def _move(connection: Connection, sums: Sums, alias: str) -> None:
    """Take sums away from a user's days, and give them to the alias."""
    names = spend_by.KEY + spend_by.SUMS
    rows = []
    for key, added in sums.items():
        rows.append(dict(zip(names, (*key, *(-each for each in added)), strict=True)))
        rows.append(dict(zip(names, (*key[:2], alias, *key[3:], *added), strict=True)))
    if rows:
        connection.execute(upsert(connection.dialect.name, spend_by_table, adds=True), rows)
    s = spend_by_table.c
    for at, _, user_id, model, provider in sums:
        of_row = (s.bucket_at == at, s.dimension == "user", s.value == user_id, s.model == model)
        connection.execute(delete(spend_by_table).where(*of_row, s.provider == provider, s.n == 0))


def _move_deleted(connection: Connection, user_id: str, alias: str) -> None:
    """The same for the calls that retention deleted before."""
    s = deleted_spend.c
    mine = s.dimension == "user", s.value == user_id
    sums: Sums = {}
    for row in connection.execute(select(deleted_spend).where(*mine)).all():
        key, added = (row.bucket_at // DAY_US * DAY_US, *row[1:5]), row[5:]
        sums[key] = [a + int(b) for a, b in zip(sums.get(key, [0] * len(added)), added, strict=True)]
    _move(connection, sums, alias)
    connection.execute(update(deleted_spend).where(*mine).values(value=alias))
