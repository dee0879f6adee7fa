"""A person who logs in to the pages, by a password of this server or by an identity provider."""

import re
from dataclasses import dataclass
from datetime import datetime

from core.domain.people.actor import Role

TEAM = re.compile(r"[\w.\-]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person.

    name: The one to log in with, whatever its letters' case; of an identity provider's, their address or name there.
    password: What is kept of it: a hash by argon2. None = an identity provider says who it is.
    identity: The provider and its own id of them; empty = a person of this server.
    team: The team that they belong to; empty = none.
    """

    id: str
    name: str
    role: Role
    team: str = ""
    password: str | None = None
    identity: str = ""
    created_at: datetime
    disabled_at: datetime | None = None
    last_login_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Person(id={self.id!r}, name={self.name!r}, role={self.role!r})"

    @property
    def is_active(self) -> bool:
        return self.disabled_at is None
