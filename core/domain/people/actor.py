"""An actor: who does something, from where, and in what role."""

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["viewer", "editor", "admin"]
Door = Literal["page", "api", "cli", "python", "system"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """One who does something.

    name: A person's name, `key NAME`, `local` (the one person of a server without people), `cli:USER`, or `system`.
    door: The way by which they came.
    address: Of their machine, where it is known.
    id: Of the person or of the key; empty = it has none.
    team: The team that a person's calls are charged to; empty = none.
    """

    name: str
    role: Role = "admin"
    door: Door = "system"
    address: str = ""
    id: str = ""
    team: str = ""

    def may(self, needed: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(needed)


SYSTEM = Actor(name="system")


def least(one: Role, other: Role) -> Role:
    return min(one, other, key=ROLES.index)
