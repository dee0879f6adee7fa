"""Sessions that reach nobody: of one the answer is there already, and the other only finds out what would be sent."""

from collections.abc import Mapping

from core.providers.http.session import Body, Incoming, Session


class Planned(Exception):
    """The request that would be sent, and its path."""

    def __init__(self, path: str, body: bytes) -> None:
        super().__init__(path)
        self.path = path
        self.body = body


class Planning(Session):
    """Raises what it is to send."""

    def __init__(self) -> None:
        """Reach nobody."""

    async def request(self, method: str, path: str, body: Body, headers: Mapping[str, str] | None = None) -> Incoming:
        """Raises: Planned."""
        raise Planned(path, body if isinstance(body, bytes) else b"")


class _Given(Incoming):
    """An answer that came before."""

    def __init__(self, status: int, raw: bytes) -> None:
        self.status = status
        self.headers = {"content-type": "application/json"}
        self.is_ending = False
        self._raw = raw

    async def read(self) -> bytes:
        raw, self._raw = self._raw, b""
        return raw

    def release(self) -> None:
        """Keep no connection."""


class Replay(Session):
    """Answers whatever is asked with what came before."""

    def __init__(self, status: int, raw: bytes) -> None:
        self._given = status, raw

    async def request(self, method: str, path: str, body: Body, headers: Mapping[str, str] | None = None) -> Incoming:
        return _Given(*self._given)
