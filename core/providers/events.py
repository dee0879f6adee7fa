"""Server-sent events, cut out of the bytes as they arrive."""

import re
from typing import Any, NamedTuple

from core.domain import strict_json as json
from core.errors import ProviderError

MAX_EVENT_BYTES = 4 * 1024 * 1024
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class Event(NamedTuple):
    """raw: Its bytes, with the empty line. value: the JSON of its data; None = a comment, the closing [DONE], or no object."""

    raw: bytes
    value: dict[str, Any] | None
    is_done: bool = False


class EventReader:
    """Feed it bytes however they are cut; it gives whole events.

    problem: What is wrong with what comes after the events that were given; it is to be raised once they are used.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.problem: Exception | None = None

    def feed(self, data: bytes) -> list[Event]:
        buffer = self._rest + data if self._rest else data
        parts = buffer.split(b"\n\n") if b"\r" not in buffer else _END.split(buffer)
        self._rest = parts.pop()
        if len(self._rest) > MAX_EVENT_BYTES:
            self.problem = ProviderError("The vendor sent an event that is too large to read.")
        try:
            return [_to_event(part) for part in parts if part]
        except ValueError:
            return self._until_broken(parts)

    def _until_broken(self, parts: list[bytes]) -> list[Event]:
        found: list[Event] = []
        try:
            found.extend(_to_event(part) for part in parts if part)
        except ValueError as error:
            self.problem = error
        return found

    def end(self) -> list[Event]:
        """What is left when the stream ends without an empty line. Raises: ValueError: it is not JSON."""
        rest, self._rest = self._rest.strip(), b""
        return [_to_event(rest)] if rest else []


def _to_event(part: bytes) -> Event:
    if part.startswith(b"data: ") and b"\n" not in part:
        data = part[6:]
    else:
        lines = (line for line in part.splitlines() if line.startswith(b"data:"))
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines)
    raw = part + b"\n\n"
    if not data:
        return Event(raw, None)
    if data.strip() == b"[DONE]":
        return Event(raw, None, is_done=True)
    value = json.loads(data.decode())  # as a text: of bytes it would first have to guess their encoding
    return Event(raw, value if isinstance(value, dict) else None)
