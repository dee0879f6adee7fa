"""Aliases."""

from typing import Any

from sqlalchemy import Connection, delete, select, update

from core.domain.experiment import Alias, Target
from core.domain.generation import Parameters
from core.formats import strict_json as json
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row
from core.storage.engine.records import put as put_row
from core.storage.experiments.schema import aliases


class AliasStore(Store):
    def all(self) -> list[Alias]:
        """By name."""
        return readable("alias", self._database.rows(select(aliases).order_by(aliases.c.name)), _to_alias)

    @staticmethod
    def put(connection: Connection, name: str, target: Target, now_us: int, note: str) -> None:
        """Make or change an alias; a rollout that runs for it is over."""
        values = {"target": _to_json(target), "changed_at": now_us, "note": note, "rollout_id": None}
        put_row(connection, aliases, {"name": name, **values})

    @staticmethod
    def roll(connection: Connection, name: str, rollout_id: str | None, now_us: int, note: str) -> None:
        values = {"rollout_id": rollout_id, "changed_at": now_us, "note": note}
        connection.execute(update(aliases).where(aliases.c.name == name).values(**values))

    @staticmethod
    def remove(connection: Connection, name: str) -> bool:
        return connection.execute(delete(aliases).where(aliases.c.name == name)).rowcount > 0


def _to_json(target: Target) -> str:
    return json.dumps({
        "model": target.model, "system": target.system, "parameters": target.parameters.as_dict(),
        "prompt_version": target.prompt_version, "fallbacks": list(target.fallbacks), "cache_s": target.cache_s,
    })  # fmt: skip


def _to_alias(row: Any) -> Alias:
    values = json.loads(row.target)
    values["parameters"] = Parameters(**values["parameters"])
    return from_row(Alias, row, target=Target(**values))
