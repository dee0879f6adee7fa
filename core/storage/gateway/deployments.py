"""Deployments of vendors, each with its secret as it is encrypted."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from core.domain.vendors.deployment import Deployment
from core.formats import strict_json as json
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.prepared import Prepared
from core.storage.engine.records import from_row, to_row
from core.storage.gateway.schema import deployments

_c = deployments.c
_VERSIONS = Prepared(lambda _: select(_c.name, _c.revision).order_by(_c.name))


class Kept(NamedTuple):
    """A deployment, and its secret as it is encrypted."""

    told: Deployment
    secret: str


class DeploymentStore(Store):
    def versions(self) -> tuple[tuple[str, int], ...]:
        """The name and revision of each: what changes when anything does."""
        with self._database.read() as connection:
            return tuple((name, revision) for name, revision in _VERSIONS.run(connection, {}))

    def all(self) -> list[Kept]:
        """By name."""
        return readable("deployment", self._database.rows(select(deployments).order_by(_c.name)), _to_kept)

    @staticmethod
    def locked(connection: Connection, name: str) -> Kept | None:
        """One, which nobody else changes until the transaction ends."""
        found = connection.execute(select(deployments).where(_c.name == name).with_for_update()).first()
        return None if found is None else _to_kept(found)

    @staticmethod
    def insert(connection: Connection, kept: Kept) -> None:
        connection.execute(insert(deployments).values(**_to_row(kept)))

    @staticmethod
    def update(connection: Connection, kept: Kept) -> None:
        connection.execute(update(deployments).where(_c.name == kept.told.name).values(**_to_row(kept)))

    @staticmethod
    def delete(connection: Connection, name: str) -> None:
        connection.execute(delete(deployments).where(_c.name == name))


def _to_row(kept: Kept) -> dict[str, object]:
    return to_row(deployments, kept.told, models=json.dumps(dict(kept.told.models)), secret=kept.secret)


def _to_kept(row: Any) -> Kept:
    models = {str(name): str(there) for name, there in json.loads(row.models).items()}
    return Kept(from_row(Deployment, row, models=models), str(row.secret))
