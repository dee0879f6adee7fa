"""Logins by password: begun, looked up, ended. They outlive a restart, and end when the password is changed."""

import hashlib
import hmac
import re
import secrets
import time

from core import clock
from core.domain.key import LOGIN_LIFE_S
from core.errors import DatabaseUnavailable
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.gateway.logins import LoginStore

FRESH_S = 1.0  # for so long what was looked up is believed
KEPT = 1000
_TOKEN = re.compile(r"(u_[0-9a-f]{16}\.)?[\w-]{43}", re.ASCII)


class LoginService:
    """Logins by their tokens, which are random and held by browsers.

    Only a token's digest, keyed with the password, is kept: it opens nothing, and another password finds nothing.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._store = LoginStore(database)
        self._writer = writer
        self._known: dict[str, tuple[bool, float]] = {}

    def begin(self, password: str, person_id: str = "") -> str:
        """The token of a new login, which names the person, if it is one's. password: That, or what is kept of it."""
        token, now_us = f"{person_id}{'.' if person_id else ''}{secrets.token_urlsafe(32)}", clock.now_us()
        login_id, expires_at = _id_of(token, password), now_us + LOGIN_LIFE_S * 1_000_000
        self._writer.run(lambda connection: self._store.insert(connection, login_id, now_us, expires_at))
        return token

    def cached(self, token: str, password: str) -> bool | None:
        """True where a token's login holds, as looked up less than a second ago; None = `holds` has to tell."""
        if not _TOKEN.fullmatch(token):
            return False
        held, at = self._known.get(_id_of(token, password), (False, 0.0))
        return held if time.monotonic() - at < FRESH_S else None

    def holds(self, token: str, password: str) -> bool:
        """True where a token's login was begun with this password and has not ended.

        Where the database cannot be read, the last that was known holds: nothing can have ended the login since.
        """
        if (known := self.cached(token, password)) is not None:
            return known
        login_id = _id_of(token, password)
        try:
            expires_at = self._store.expires_at(login_id)
        except DatabaseUnavailable:
            if login_id not in self._known:
                raise
            return self._known[login_id][0]
        held = expires_at is not None and clock.now_us() < expires_at
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[login_id] = held, time.monotonic()
        return held

    def end(self, token: str, password: str) -> None:
        login_id = _id_of(token, password)
        self._writer.run(lambda connection: self._store.remove(connection, login_id))
        self._known.pop(login_id, None)


def _id_of(token: str, password: str) -> str:
    return hmac.new(token.encode(), password.encode(), hashlib.sha256).hexdigest()
