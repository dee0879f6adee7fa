"""Aliases."""

import secrets
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from core.clock import to_us
from core.domain.experiment import Alias, AliasChange, Target
from core.domain.generation import Parameters
from core.formats import strict_json as json
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row
from core.storage.engine.records import put as put_row
from core.storage.experiments.schema import alias_targets, aliases

_t = alias_targets.c


class AliasStore(Store):
    def all(self) -> list[Alias]:
        """By name."""
        return readable("alias", self._database.rows(select(aliases).order_by(aliases.c.name)), _to_alias)

    def targets(self, name: str) -> list[AliasChange]:
        """All that it stood for, newest first."""
        c = alias_targets.c
        wanted = select(alias_targets).where(c.name == name).order_by(c.changed_at.desc(), c.id.desc())
        return readable(
            "target", self._database.rows(wanted), lambda row: from_row(AliasChange, row, target=_to_target(row))
        )

    @staticmethod
    def put(connection: Connection, change: AliasChange) -> None:
        """Make or change an alias; a rollout that runs for it is over."""
        name, at_us = change.name, to_us(change.changed_at)
        old = connection.execute(select(aliases).where(aliases.c.name == name)).first()
        if old is not None and not connection.execute(select(_t.id).where(_t.name == name).limit(1)).first():
            _remember(connection, name, old.target, old.changed_at, note=old.note)  # it is older than the history
        target, words = _to_json(change.target), {"note": change.note, "author": change.author, "run_id": change.run_id}
        _remember(connection, name, target, at_us, **words)
        values = {"target": target, "changed_at": at_us, "note": change.note, "rollout_id": None}
        put_row(connection, aliases, {"name": name, **values})

    @staticmethod
    def roll(connection: Connection, name: str, rollout_id: str | None, now_us: int, note: str) -> None:
        values = {"rollout_id": rollout_id, "changed_at": now_us, "note": note}
        connection.execute(update(aliases).where(aliases.c.name == name).values(**values))

    @staticmethod
    def remove(connection: Connection, name: str) -> bool:
        return connection.execute(delete(aliases).where(aliases.c.name == name)).rowcount > 0


def _remember(connection: Connection, name: str, target: str, at_us: int, **words: str) -> None:
    row = {"id": f"t_{secrets.token_hex(8)}", "name": name, "target": target, "changed_at": at_us}
    connection.execute(insert(alias_targets).values(**row, **words))


def _to_json(target: Target) -> str:
    return json.dumps({
        "model": target.model, "system": target.system, "parameters": target.parameters.as_dict(),
        "prompt_version": target.prompt_version, "fallbacks": list(target.fallbacks), "cache_s": target.cache_s,
    })  # fmt: skip


def _to_alias(row: Any) -> Alias:
    return from_row(Alias, row, target=_to_target(row))


def _to_target(row: Any) -> Target:
    values = json.loads(row.target)
    values["parameters"] = Parameters(**values["parameters"])
    return Target(**values)
