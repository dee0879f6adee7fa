"""Budget rows and what they were raised by."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from core.domain.budget import PATTERN_SIGNS, Budget, Raise, Spender
from core.formats import strict_json as json
from core.storage.engine.bulk import as_value, is_among
from core.storage.engine.damaged import Parts, each, readable, whole
from core.storage.engine.database import Store
from core.storage.engine.prepared import Prepared, Rows
from core.storage.engine.records import from_row, to_row
from core.storage.schema import budget_raises, budgets

_RAISE = ("id", "extra_nano_usd", "created_at", "expires_at", "reason")
_N_COLUMNS = len(budgets.c)
_ALL = (
    select(*budgets.c, *(budget_raises.c[name] for name in _RAISE))
    .outerjoin(budget_raises)
    .order_by(budgets.c.created_at, budgets.c.id, budget_raises.c.created_at)
)

_READ = Prepared(lambda _: _ALL)


def _covering_statement(dialect: str) -> Any:
    is_named = is_among(dialect, budgets.c.scope, bindparam("scopes"))
    return _ALL.where(or_(is_named, *(budgets.c.scope.like(f"%{sign}%") for sign in PATTERN_SIGNS)))


_COVERING = Prepared(_covering_statement)


class BudgetStore(Store):
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
        connection.execute(insert(budget_raises).values(**to_row(budget_raises, more, budget_id=budget_id)))


def read_all(connection: Connection) -> list[Budget]:
    """All budgets, oldest first; in the caller's transaction."""
    return _budgets(_READ.run(connection, {}))


def covering(connection: Connection, spenders: Iterable[Spender]) -> list[Budget]:
    """The budgets that cover any of them, oldest first, and those with a pattern; in the caller's transaction."""
    scopes = sorted({scope for spender in spenders for scope in spender.scopes})
    return _budgets(_COVERING.run(connection, {"scopes": as_value(connection.dialect.name, scopes)}))


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
    return to_row(budgets, budget, **{name: json.dumps(getattr(budget, name)) for name in _LISTS})


_SHARES = each(float)
_LISTS = ("thresholds", "forecast_thresholds")


@lru_cache(maxsize=4096)
def _from_row(values: tuple[Any, ...], raises: tuple[tuple[Any, ...], ...]) -> Budget:
    row = dict(zip(budgets.c.keys(), values, strict=True))
    parts = Parts(row)
    # A budget holds whatever becomes of its alerts.
    shares = {name: parts.read(name, _SHARES, ()) for name in _LISTS}
    return from_row(Budget, row, **shares, raises=tuple(readable("budget's raise", raises, _to_raise)))


def _to_raise(row: tuple[Any, ...]) -> Raise:
    return from_row(Raise, dict(zip(_RAISE, row, strict=True)))
