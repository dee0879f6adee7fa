"""Server-sent events, cut out of the bytes as they arrive."""

import re
from typing import Any, NamedTuple

from core.errors import ProviderError
from core.formats import strict_json as json

MAX_EVENT_BYTES = 4 * 1024 * 1024
_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


class Event(NamedTuple):
    """One event.

    raw: Its bytes, with the empty line.
    value: The JSON of its data; None = a comment, the closing [DONE], or no object.
    """

    raw: bytes
    value: dict[str, Any] | None
    is_done: bool = False


class EventReader:
    """Feed it bytes however they are cut; it gives whole events.

    problem: What is wrong with what comes after the events that were given; it is to be raised once they are used.
    """

    def __init__(self, most_bytes: int = MAX_EVENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = b""
        self._inner: list[bytes] = []  # of a large event, what came since: joined once, not with each packet
        self._n_inner = 0
        self.problem: Exception | None = None

    def feed(self, data: bytes) -> list[Event]:
        if self._rest and b"\n" not in data and b"\r" not in data and self._n_inner < self._most_bytes:
            self._inner.append(data)
            self._n_inner += len(data)
            return []
        buffer = b"".join((self._rest, *self._inner, data)) if self._rest else data
        self._inner, self._n_inner = [], 0
        parts = buffer.split(b"\n\n") if b"\r" not in buffer else _END.split(buffer)
        self._rest = parts.pop()
        if len(self._rest) > self._most_bytes:
            self.problem = ProviderError("The vendor sent an event that is too large to read.")
        found: list[Event] = []
        try:
            for part in parts:
                if part:
                    found += _to_events(part)
        except ValueError as error:
            self.problem = error
        return found

    def end(self) -> list[Event]:
        """The rest where the stream ends without an empty line. Raises: ValueError: it is not JSON."""
        rest, self._rest = b"".join((self._rest, *self._inner)).strip(), b""
        return _to_events(rest) if rest else []


def _to_events(part: bytes) -> list[Event]:
    """The events between two empty lines: mostly one."""
    raw = part + b"\n\n"
    if part.startswith(b"data: {") and b"\n" not in part and b"\r" not in part:  # nearly all
        return [Event(raw, json.loads(part[6:]))]
    if part.startswith(b"data: ") and b"\n" not in part and b"\r" not in part:
        lines = [part[6:]]
    else:
        fields = (line for line in part.splitlines() if line.startswith(b"data:"))
        lines = [line[5:].removeprefix(b" ") for line in fields]
    said = [line for line in lines if line.strip() != b"[DONE]"]
    is_done = len(said) < len(lines)
    values = [each for value in json_values(said) for each in (value if isinstance(value, list) else [value])]
    objects = [value for value in values if isinstance(value, dict)]
    if len(objects) < 2:
        return [Event(raw, objects[0] if objects else None, is_done)]
    last = len(objects) - 1
    return [Event(b"" if at else raw, value, is_done and at == last) for at, value in enumerate(objects)]


def json_values(lines: list[bytes]) -> list[Any]:
    """The JSON of lines together; of each by itself where a server leaves out what should stand between them."""
    text = b"\n".join(lines)
    if not text.strip():
        return []
    try:
        return [json.loads(text)]
    except ValueError:
        if len(lines) == 1:
            raise
        return [json.loads(line) for line in lines if line.strip()]
