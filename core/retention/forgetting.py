"""Users forgotten: nothing of their texts and their name stays, and every sum does."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from core import acting, clock
from core.domain.experiment import Experiment
from core.errors import InvalidRequest
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.people.audit import note
from core.storage.retention.forgetting import ForgettingStore

AT_ONCE = 50  # calls in a transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """alias: The name that stands for the user from now on; empty = there was nothing on record of them.

    n_calls: Calls that were left without texts, session and name.
    others: The number of rows of other kinds that have the alias now.
    """

    alias: str
    n_calls: int
    others: dict[str, int]


class Forgetting:
    def __init__(self, database: Database, writer: Writer, experiments: Callable[[], list[Experiment]]) -> None:
        self._database = database
        self._writer = writer
        self._experiments = experiments
        self._store = ForgettingStore(database)

    def forget(self, user_id: str) -> Forgotten:
        """Forget a user. Once more does no harm; calls of theirs that come later are on record again.

        Raises:
            InvalidRequest: It is no user. Forbidden.
        """
        acting.require("admin", "forget users")
        if not user_id.strip() or len(user_id) > 500:
            raise InvalidRequest("user must be a text of 1 to 500 characters", param="user")
        alias, now_us = f"forgotten-{secrets.token_hex(6)}", clock.now_us()
        alias = self._writer.run(lambda link: self._store.begin(link, user_id, alias, now_us))
        n_calls = 0
        while ids := self._store.next_calls(user_id, AT_ONCE):
            n_calls += self._writer.run(partial(self._store.forget_calls, user_id=user_id, alias=alias, ids=ids))
        experiments = self._experiments()
        # Not by the writer, which would note the old name of a budget's scope in the audit.
        with self._database.write() as connection:
            others = self._store.finish(connection, user_id, alias, experiments)
        if not n_calls and not any(others.values()):
            return Forgotten(alias="", n_calls=0, others={})
        found = {"calls": n_calls, **others}
        self._writer.run(lambda link: note(link, "retention user forgotten", alias, found))
        return Forgotten(alias=alias, n_calls=n_calls, others=others)

    def finish(self) -> None:
        """Forget whom an earlier process began to forget."""
        for user_id in self._store.unfinished():
            self.forget(user_id)
