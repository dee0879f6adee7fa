"""Teams: the limits that all keys and people of one have together."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable

from core.domain.people.team import Team, check_limit
from core.errors import InvalidRequest
from core.people.service import checked_team
from core.storage.engine.database import Connection, Database
from core.storage.engine.writer import Writer
from core.storage.people.audit import note
from core.storage.people.teams import TeamStore

FRESH_S = 0.9  # a change holds in all processes within a second


class TeamService:
    """A team is there as soon as a key or a person names it; here it gets its limits."""

    def __init__(self, database: Database, writer: Writer, named: Callable[[], Iterable[str]]) -> None:
        """named: The teams that keys and people belong to."""
        self._store = TeamStore(database)
        self._writer = writer
        self._named = named
        self._known: tuple[dict[str, Team], float] = {}, float("-inf")
        self._lock = threading.Lock()

    def all(self) -> list[Team]:
        """Teams by their names, those without limits too."""
        return [each for _, each in sorted(({n: Team(name=n) for n in self._named() if n} | self._store.all()).items())]

    def get(self, name: str) -> Team:
        return self._store.all().get(name) or Team(name=name)

    def set(
        self, name: str, *, rpm: int | None = None, tpm: int | None = None, max_parallel: int | None = None
    ) -> Team:
        """Give a team its limits, in the place of those it had; None = it has no such limit.

        Raises:
            InvalidRequest: The name or a limit cannot be.
        """
        team = checked(name, rpm=rpm, tpm=tpm, max_parallel=max_parallel)

        def work(connection: Connection) -> None:
            self._store.put(connection, team)
            note(connection, "team changed", team.name, {})

        self._writer.run(work)
        self.refresh()
        return team

    async def afind(self, name: str) -> Team | None:
        """The team of a name, if it has limits; it never holds up the caller's event loop."""
        if time.monotonic() - self._known[1] > FRESH_S:
            await asyncio.to_thread(self.refresh)
        return self._known[0].get(name)

    def refresh(self) -> None:
        """Read what other processes have changed."""
        at = time.monotonic()
        with self._lock:
            self._known = self._store.all(), at


def checked(name: str, **limits: int | None) -> Team:
    """The team with these limits. Raises: InvalidRequest"""
    if not (text := checked_team(name)):
        raise InvalidRequest("A team needs a name of 1 to 60 letters, digits, dots or dashes.", param="name")
    for field, given in limits.items():
        check_limit(field, given)
    return Team(name=text, **limits)
