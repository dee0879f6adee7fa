"""Budget rows."""

import json
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from core.domain.budget import Budget
from core.pricing.receipt import from_nano, to_nano
from core.storage.database import Database
from core.storage.schema import budgets


class BudgetStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Budget]:
        with self._database.read() as connection:
            rows = connection.execute(select(budgets).order_by(budgets.c.created_at)).mappings().all()
        return [_from_row(row) for row in rows]

    @staticmethod
    def insert(connection: Connection, budget: Budget, created_at_us: int) -> None:
        connection.execute(
            insert(budgets).values(
                id=budget.id,
                name=budget.name,
                limit_nano_usd=to_nano(budget.limit_usd),
                period=budget.period,
                timezone=budget.timezone,
                scope=budget.scope,
                action=budget.action,
                thresholds=json.dumps(budget.thresholds),
                created_at=created_at_us,
            )
        )

    @staticmethod
    def delete(connection: Connection, budget_id: str) -> bool:
        return connection.execute(delete(budgets).where(budgets.c.id == budget_id)).rowcount > 0


def _from_row(row: Any) -> Budget:
    return Budget(
        limit_usd=from_nano(row["limit_nano_usd"]),
        thresholds=tuple(json.loads(row["thresholds"])),
        **{name: row[name] for name in ("id", "name", "period", "timezone", "scope", "action")},
    )
