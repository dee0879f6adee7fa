"""People as rows."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from core.domain.people.person import Person
from core.storage.engine.damaged import readable
from core.storage.engine.database import Store
from core.storage.engine.records import from_row, to_row
from core.storage.people.schema import people

_c = people.c


class PersonStore(Store):
    def all(self) -> list[Person]:
        """The oldest first."""
        rows = self._database.rows(select(people).order_by(_c.created_at, _c.id))
        return readable("person", rows, lambda row: from_row(Person, row))

    @staticmethod
    def insert(connection: Connection, person: Person) -> None:
        connection.execute(insert(people).values(**_to_row(person)))

    @staticmethod
    def update(connection: Connection, person: Person) -> None:
        connection.execute(update(people).where(_c.id == person.id).values(**_to_row(person)))

    @staticmethod
    def has_login(connection: Connection, login: str, but: str = "") -> bool:
        wanted = select(_c.id).where(_c.login == login, _c.id != but)
        return connection.execute(wanted.limit(1)).first() is not None

    @staticmethod
    def touch(connection: Connection, person_id: str, values: Mapping[str, Any]) -> None:
        """Change what a login tells, and leave the rest as it may have become meanwhile."""
        connection.execute(update(people).where(_c.id == person_id).values(**values))

    @staticmethod
    def came_in(connection: Connection, person_id: str, at_us: int) -> bool:
        """Write when somebody logged in, once in all processes; False = it is written."""
        is_new = or_(_c.last_login_at.is_(None), _c.last_login_at < at_us)
        changed = update(people).where(_c.id == person_id, is_new).values(last_login_at=at_us)
        return connection.execute(changed).rowcount > 0

    @staticmethod
    def other_admins(connection: Connection, but: str) -> set[str]:
        """The ids of the admins with a password who may log in, without one of them.

        All are locked: two processes that each take one away must not take the last two.
        """
        is_admin = (_c.role == "admin", _c.password.is_not(None), _c.disabled_at.is_(None))
        found = connection.execute(select(_c.id).where(*is_admin).order_by(_c.id).with_for_update()).scalars()
        return {person_id for person_id in found if person_id != but}


def login_of(person: Person) -> str:
    return person.identity or person.name.casefold()


def _to_row(person: Person) -> dict[str, Any]:
    return to_row(people, person, login=login_of(person))
