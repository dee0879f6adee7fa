"""The things that a file of configuration manages."""

from sqlalchemy import delete, select

from core.clock import now_us
from core.storage.columns import key, number, table, text
from core.storage.engine.database import Connection, Store
from core.storage.engine.records import put

managed_things = table(
    "managed_things",
    key("kind"),  # the section of the file
    key("name"),
    text("source"),  # the file
    number("applied_at"),
)


class ManagedStore(Store):
    def all(self) -> dict[tuple[str, str], str]:
        """The file that manages each, by section and name."""
        return {(row.kind, row.name): row.source for row in self._database.rows(select(managed_things))}

    @staticmethod
    def put(connection: Connection, kind: str, name: str, source: str) -> None:
        put(connection, managed_things, {"kind": kind, "name": name, "source": source, "applied_at": now_us()})

    @staticmethod
    def drop(connection: Connection, kind: str, name: str) -> None:
        c = managed_things.c
        connection.execute(delete(managed_things).where(c.kind == kind, c.name == name))
