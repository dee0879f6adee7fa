"""People: made, changed, disabled, logged in; and who an identity provider's accounts are here."""

import asyncio
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from core import acting, clock
from core.domain.people.actor import ROLES, SYSTEM, Role
from core.domain.people.person import TEAM, Person
from core.errors import AuthenticationError, Conflict, DatabaseUnavailable, InvalidRequest, NotFound
from core.formats.text import is_storable
from core.people import passwords
from core.people.roles import RoleRules, name_of, role_of, verified_address
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.people.audit import note
from core.storage.people.persons import PersonStore, login_of

FRESH_S = 0.9  # a change holds in all processes within a second
_NAME = re.compile(r"[^\s@/,:]{1,60}(@[^\s@/,:]{1,100})?")


class PeopleService:
    """People are few: all are read at once, and kept for less than a second."""

    def __init__(self, database: Database, writer: Writer, rules: RoleRules, on_change: Callable[[], object]) -> None:
        """on_change: Reads anew what depends on people: their keys."""
        self._store = PersonStore(database)
        self._writer = writer
        self._rules = rules
        self._on_change = on_change
        self._known: tuple[dict[str, Person], float] = {}, float("-inf")
        self._lock = threading.Lock()

    # Made and changed

    def add(self, name: str, password: str, *, role: Role = "viewer", team: str = "") -> Person:
        """Make a person who logs in with a password.

        Raises:
            InvalidRequest: The name, the password, the role or the team cannot be; the first must be an admin.
            Conflict: The name is taken.
        """
        person = Person(
            id=f"u_{secrets.token_hex(8)}",
            name=checked_name(name),
            role=checked_role(role),
            team=checked_team(team),
            password=passwords.hashed(password),
            created_at=clock.now(),
        )

        def work(connection: Connection) -> None:
            if self._store.has_login(connection, login_of(person)):
                raise Conflict(f"There is a person named {person.name!r} already.")
            if person.role != "admin" and not self._store.other_admins(connection, but=person.id):
                raise InvalidRequest("The first person must be an admin: nobody could make another one.", param="role")
            self._store.insert(connection, person)
            note(connection, "person created", person.name, {})

        self._write(work)
        return person

    def change(self, person_id: str, *, role: Role | None = None, team: str | None = None) -> Person:
        """Another role or team; it holds in open sessions within a second.

        Raises:
            NotFound; InvalidRequest; Conflict: the role comes from an identity provider, or it is the last admin.
        """
        old = self._fresh(person_id)
        if role is not None and old.password is None:
            raise Conflict(
                f"The role of {old.name} comes from the identity provider.",
                hint="AIMM_ADMINS, AIMM_EDITORS and AIMM_VIEWERS say whose it is.",
            )
        new = replace(old, role=checked_role(role or old.role), team=old.team if team is None else checked_team(team))
        return self._change(old, new, "person changed")

    def set_password(self, person_id: str, password: str) -> Person:
        """Another password; logins that began with the old one end. Raises: NotFound, InvalidRequest."""
        old = self._fresh(person_id)
        if old.password is None:
            raise Conflict(f"{old.name} logs in with an identity provider, and has no password here.")
        return self._change(old, replace(old, password=passwords.hashed(password)), "password changed")

    def change_own_password(self, person_id: str, old: str, new: str) -> Person:
        """The same by the person, whatever their role. Raises: AuthenticationError: `old` is not the password."""
        person = self.get(person_id)
        if not passwords.fits(old, person.password):
            raise AuthenticationError("That is not your password.")
        with acting.acting_as(replace(acting.current(), role="admin")):
            return self.set_password(person_id, new)

    def disable(self, person_id: str) -> Person:
        """End a person's logins and keys, within a second. Raises: NotFound; Conflict: it is the last admin."""
        old = self._fresh(person_id)
        return self._change(old, replace(old, disabled_at=clock.now()), "person disabled") if old.is_active else old

    def enable(self, person_id: str) -> Person:
        old = self._fresh(person_id)
        return old if old.is_active else self._change(old, replace(old, disabled_at=None), "person enabled")

    def _fresh(self, person_id: str) -> Person:
        """The person as they stand now, which is what a change goes out from."""
        self.refresh()
        return self.get(person_id)

    def _change(self, old: Person, new: Person, deed: str) -> Person:
        loses = old.role == "admin" and old.is_active and not (new.role == "admin" and new.is_active)

        def work(connection: Connection) -> None:
            if loses and old.password is not None and not self._store.other_admins(connection, but=old.id):
                raise Conflict(f"{old.name} is the last admin.", hint="Make another one first.")
            self._store.update(connection, new)
            note(connection, deed, new.name, {})

        self._write(work)
        return new

    def _write(self, work: Callable[[Connection], None]) -> None:
        self._writer.run(work)
        self.refresh()
        self._on_change()

    # Read

    def all(self) -> list[Person]:
        """The oldest first."""
        return list(self._people().values())

    def get(self, person_id: str) -> Person:
        found = self.of_id(person_id)
        if found is None:
            raise NotFound(f"There is no person {person_id[:60]!r}.")
        return found

    def of_id(self, person_id: str) -> Person | None:
        return self._people().get(person_id)

    def named(self, name_or_id: str) -> Person:
        """Raises: NotFound; Conflict: several have the name."""
        found = [each for each in self.all() if each.name.casefold() == name_or_id.casefold()]
        if len(found) > 1:
            raise Conflict(f"Several people are named {name_or_id!r}: {', '.join(p.id for p in found)}. Say which.")
        return found[0] if found else self.get(name_or_id)

    def have_passwords(self) -> bool:
        """True if anybody logs in with a password of their own: then whoever looks at pages has to say who they are."""
        return any(each.password is not None for each in self._people().values())

    async def ahave_passwords(self) -> bool:
        """`have_passwords` that never holds up the caller's event loop."""
        return self.have_passwords() if self._is_fresh() else await asyncio.to_thread(self.have_passwords)

    def refresh(self) -> None:
        """Read what other processes have changed."""
        found = {person.id: person for person in self._store.all()}
        with self._lock:
            self._known = found, time.monotonic()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._known[1] <= FRESH_S

    def _people(self) -> dict[str, Person]:
        """All by their ids; where the database cannot be read, as they were: nothing can have changed them since."""
        if not self._is_fresh():
            try:
                self.refresh()
            except DatabaseUnavailable:
                if self._known[1] == float("-inf"):
                    raise
        return self._known[0]

    # Logged in

    def check(self, name: str, password: str) -> Person | None:
        """The person of a name and a password; None = there is none, which takes as long to say."""
        found = next((p for p in self.all() if p.identity == "" and p.name.casefold() == name.strip().casefold()), None)
        is_right = passwords.fits(password, found.password if found is not None and found.is_active else None)
        if found is None or not is_right:
            return None
        self._touch(found, {"last_login_at": clock.now_us()})
        return found

    def of_account(self, account: Mapping[str, Any]) -> Person | None:
        """The person of an identity provider's account, with the role that its groups give; None = it is refused."""
        role, own_id = role_of(account, self._rules), account.get("sub") or verified_address(account)
        if role is None or not own_id:
            return None
        name, identity = name_of(account), f"{account.get('provider')}|{own_id}"[:200]
        found = next((person for person in self.all() if person.identity == identity), None)
        if found is None:
            found = self._meet(name, role, identity)
        elif (found.name, found.role) != (name, role):
            self._touch(found, {"name": name, "role": role}, "person changed")
            found = replace(found, name=name, role=role)
        return found if found.is_active else None

    def _meet(self, name: str, role: Role, identity: str) -> Person:
        """The person of an account that comes for the first time."""
        now = clock.now()
        made = Person(id=f"u_{secrets.token_hex(8)}", name=name, role=role, identity=identity, created_at=now)

        def work(connection: Connection) -> None:
            if not self._store.has_login(connection, login_of(made)):  # another process may have met them just now
                self._store.insert(connection, made)
                note(connection, "person created", made.name, {"note": "Logged in for the first time."})

        with acting.acting_as(SYSTEM):
            self._write(work)
        return next((person for person in self.all() if person.identity == identity), made)

    def _touch(self, person: Person, values: Mapping[str, Any], deed: str = "") -> None:
        def work(connection: Connection) -> None:
            self._store.touch(connection, person.id, values)
            if deed:
                note(connection, deed, person.name, {"note": "As the identity provider says."})

        with acting.acting_as(SYSTEM):
            self._write(work)


def checked_role(role: str) -> Role:
    found = next((each for each in ROLES if each == role), None)
    if found is None:
        raise InvalidRequest(f"role == {role!r}, must be one of {', '.join(ROLES)}", param="role")
    return found


def checked_team(team: str) -> str:
    text = team.strip()
    if text and not TEAM.fullmatch(text):
        raise InvalidRequest(f"team == {text[:40]!r}, must be 1 to 60 letters, digits, dots or dashes", param="team")
    return text


def checked_name(name: str) -> str:
    text = name.strip()
    if not _NAME.fullmatch(text) or not (is_storable(text) and text.isprintable()):
        raise InvalidRequest(
            f"name == {text[:40]!r}, must be 1 to 60 characters without spaces, or a mail address", param="name"
        )
    return text
