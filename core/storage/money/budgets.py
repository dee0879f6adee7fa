"""Budget rows and what they were raised by."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, column, delete, func, insert, or_, select, type_coerce, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from core.clock import from_us, to_us
from core.domain.budget import PATTERN_SIGNS, Budget, Raise, Spender
from core.formats import strict_json as json
from core.pricing.receipt import from_nano, to_nano
from core.storage.engine.damaged import Parts, each, readable, whole
from core.storage.engine.database import Database
from core.storage.engine.prepared import Prepared, Rows
from core.storage.schema import budget_raises, budgets

_SAME = ("id", "name", "period", "rolling_hours", "timezone", "scope", "action", "downgrade_to")
_RAISE = ("id", "extra_nano_usd", "created_at", "expires_at", "reason")
_N_COLUMNS = len(budgets.c)
_ALL = (
    select(*budgets.c, *(budget_raises.c[name] for name in _RAISE))
    .outerjoin(budget_raises)
    .order_by(budgets.c.created_at, budgets.c.id, budget_raises.c.created_at)
)

_READ = Prepared(lambda _: _ALL)


def _covering_statement(dialect: str) -> Any:
    wanted: Any = bindparam("scopes")
    is_named: Any = budgets.c.scope.in_(select(column("value")).select_from(func.json_each(wanted)))
    if dialect != "sqlite":
        is_named = budgets.c.scope == func.any(type_coerce(wanted, ARRAY(TEXT)))
    return _ALL.where(or_(is_named, *(budgets.c.scope.like(f"%{sign}%") for sign in PATTERN_SIGNS)))


_COVERING = Prepared(_covering_statement)


class BudgetStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Budget]:
        with self._database.read() as connection:
            return read_all(connection)

    @staticmethod
    def insert(connection: Connection, budget: Budget, created_at_us: int) -> None:
        connection.execute(insert(budgets).values(**_to_row(budget), created_at=created_at_us))

    @staticmethod
    def update(connection: Connection, budget: Budget) -> bool:
        statement = update(budgets).where(budgets.c.id == budget.id).values(**_to_row(budget))
        return connection.execute(statement).rowcount > 0

    @staticmethod
    def delete(connection: Connection, budget_id: str) -> bool:
        return connection.execute(delete(budgets).where(budgets.c.id == budget_id)).rowcount > 0

    @staticmethod
    def add_raise(connection: Connection, budget_id: str, more: Raise) -> None:
        connection.execute(
            insert(budget_raises).values(
                id=more.id,
                budget_id=budget_id,
                extra_nano_usd=to_nano(more.extra_usd),
                created_at=to_us(more.created_at),
                expires_at=to_us(more.expires_at),
                reason=more.reason,
            )
        )


def read_all(connection: Connection) -> list[Budget]:
    """All budgets, oldest first; in the caller's transaction."""
    return _budgets(_READ.run(connection, {}))


def covering(connection: Connection, spenders: Iterable[Spender]) -> list[Budget]:
    """The budgets that cover any of them, oldest first, and those with a pattern; in the caller's transaction."""
    scopes = sorted({scope for spender in spenders for scope in spender.scopes})
    wanted = json.dumps(scopes) if connection.dialect.name == "sqlite" else scopes
    return _budgets(_COVERING.run(connection, {"scopes": wanted}))


def _budgets(rows: Rows) -> list[Budget]:
    found: dict[str, tuple[Any, list[Any]]] = {}
    for row in rows:
        budget, raised = row[:_N_COLUMNS], row[_N_COLUMNS:]
        raises = found.setdefault(row[0], (budget, []))[1]
        if raised[0] is not None:
            raises.append(tuple(raised))
    return [_of_rows(tuple(row), tuple(raises)) for row, raises in found.values()]


def _of_rows(row: tuple[Any, ...], raises: tuple[tuple[Any, ...], ...]) -> Budget:
    """A budget from its rows. Its limit must hold, so one that cannot be read is an error. Raises: DamagedRecord."""
    return whole("budget", row, lambda row: _from_row(row, raises))


def _to_row(budget: Budget) -> dict[str, Any]:
    return {name: getattr(budget, name) for name in _SAME} | {
        "limit_nano_usd": to_nano(budget.limit_usd),
        "thresholds": json.dumps(budget.thresholds),
        "forecast_thresholds": json.dumps(budget.forecast_thresholds),
        "refuses_unpriced": int(budget.refuses_unpriced),
    }


_SHARES = each(float)


@lru_cache(maxsize=4096)
def _from_row(values: tuple[Any, ...], raises: tuple[tuple[Any, ...], ...]) -> Budget:
    row = dict(zip(budgets.c.keys(), values, strict=True))
    parts = Parts(row)
    return Budget(
        **{name: row[name] for name in _SAME},
        limit_usd=from_nano(row["limit_nano_usd"]),
        # A budget holds whatever becomes of its alerts.
        thresholds=parts.read("thresholds", _SHARES, ()),
        forecast_thresholds=parts.read("forecast_thresholds", _SHARES, ()),
        refuses_unpriced=bool(row["refuses_unpriced"]),
        raises=tuple(readable("budget's raise", raises, _to_raise)),
    )


def _to_raise(row: tuple[Any, ...]) -> Raise:
    id_, extra, created_at, expires_at, reason = row
    return Raise(
        id=id_,
        extra_usd=from_nano(extra),
        created_at=from_us(created_at),
        expires_at=from_us(expires_at),
        reason=reason,
    )
