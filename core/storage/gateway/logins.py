"""People who are logged in to the pages."""

from sqlalchemy import Connection, delete, insert, select

from core.storage.engine.database import Store
from core.storage.gateway.schema import logins


class LoginStore(Store):
    def expires_at(self, login_id: str) -> int | None:
        """Microseconds; None = there is no such login."""
        return self._database.value(select(logins.c.expires_at).where(logins.c.id == login_id))

    @staticmethod
    def insert(connection: Connection, login_id: str, now_us: int, expires_at: int) -> None:
        """Add a login, and delete those that have expired."""
        connection.execute(delete(logins).where(logins.c.expires_at < now_us))
        connection.execute(insert(logins), [{"id": login_id, "created_at": now_us, "expires_at": expires_at}])

    @staticmethod
    def remove(connection: Connection, login_id: str) -> None:
        connection.execute(delete(logins).where(logins.c.id == login_id))
