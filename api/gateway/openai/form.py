"""Forms (multipart/form-data): found where they lie, handed on as they came with another model's name in place."""

from collections.abc import AsyncIterator
from email.message import Message
from email.parser import BytesHeaderParser
from typing import NamedTuple

from api.body import Body
from core import InvalidRequest, Media

MAX_PARTS = 200
MAX_FIELD_BYTES = 1024 * 1024
_BLOCK = 1024 * 1024  # looked through at once
_MAX_HEAD_BYTES = 8 * 1024
_PLAIN = ("", "7bit", "8bit", "binary")
_WRONG = "The body is no whole multipart/form-data"


class _Part(NamedTuple):
    """name, and the places of its contents. media_type, filename: of a file; empty = it is a field."""

    name: str
    start: int
    stop: int
    media_type: str = ""
    filename: str = ""


class Form:
    """A form as it came: `Upload` for the core.

    fields: The values of the fields; a list where a name that ends in [] came more than once.
    files: What was sent along.
    """

    def __init__(self, body: Body, content_type: str) -> None:
        """Raises: InvalidRequest: It is malformed, or says a thing twice."""
        self.content_type = content_type
        self.fields: dict[str, str | list[str]] = {}
        self.files: list[Media] = []
        self._places: list[_Part] = []  # of the files
        self._body = body
        self._model = (body.size, body.size)
        for part in _parts(body, _boundary(content_type)):
            if part.media_type:
                self.files.append(Media(part.media_type, size=part.stop - part.start))
                self._places.append(part)
            else:
                self._take(part)

    def _take(self, part: _Part) -> None:
        if part.stop - part.start > MAX_FIELD_BYTES:
            raise InvalidRequest(f"The field {part.name[:60]!r} is larger than {MAX_FIELD_BYTES:,} bytes.")
        try:
            value = self._body.read(part.start, part.stop).decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"The field {part.name[:60]!r} is no text in UTF-8.") from None
        if part.name.endswith("[]"):
            self.fields[part.name] = [*self.fields.get(part.name, ()), value]
        elif part.name in self.fields:
            # Which of the two its vendor would read, nobody knows here.
            raise InvalidRequest(f"The field {part.name[:60]!r} is there twice.")
        else:
            self.fields[part.name] = value
        if part.name == "model":
            self._model = (part.start, part.stop)

    def n_bytes(self, model: str) -> int:
        start, stop = self._model
        return self._body.size - (stop - start) + len(model.encode())

    def only_file(self, name: str) -> tuple[str, AsyncIterator[bytes]]:
        """The name and the bytes of the one file, which is in this field. Raises: InvalidRequest."""
        if [part.name for part in self._places] != [name]:
            raise InvalidRequest(f"One file is needed, in the field {name!r}.")
        [part] = self._places
        return part.filename, self._body.chunks(part.start, part.stop)

    async def chunks(self, model: str) -> AsyncIterator[bytes]:
        start, stop = self._model
        async for chunk in self._body.chunks(0, start):
            yield chunk
        yield model.encode()
        async for chunk in self._body.chunks(stop):
            yield chunk


def _boundary(content_type: str) -> bytes:
    given = Message()
    given["content-type"] = content_type
    boundary = given.get_boundary() or ""
    if given.get_content_type() != "multipart/form-data" or not (1 <= len(boundary) <= 70 and boundary.isascii()):
        raise InvalidRequest("Send multipart/form-data with a boundary of 1 to 70 characters.")
    return boundary.encode()


def _parts(body: Body, boundary: bytes) -> list[_Part]:
    """Raises: InvalidRequest."""
    mark = b"\r\n--" + boundary
    at = 0 if body.read(0, len(mark) - 2) == mark[2:] else _find(body, mark, 0) + 2
    found: list[_Part] = []
    while True:
        at += len(mark) - 2
        if body.read(at, at + 2) == b"--":
            return found
        head = body.read(at, at + _MAX_HEAD_BYTES)
        end = head.find(b"\r\n\r\n")
        if not head.startswith(b"\r\n") or end < 0 or len(found) >= MAX_PARTS:
            raise InvalidRequest(f"{_WRONG}: a part has no head, or there are more than {MAX_PARTS}.")
        start = at + end + 4
        stop = _find(body, mark, start)
        found.append(_named(BytesHeaderParser().parsebytes(head[2 : end + 4]), start, stop))
        at = stop + 2


def _find(body: Body, mark: bytes, start: int) -> int:
    """The next place of a mark."""
    for at in range(start, body.size, _BLOCK):
        place = body.read(at, at + _BLOCK + len(mark)).find(mark)
        if place >= 0:
            return at + place
    raise InvalidRequest(f"{_WRONG}: its end is missing.")


def _named(head: Message, start: int, stop: int) -> _Part:
    name = head.get_param("name", header="content-disposition")
    encoding = str(head.get("content-transfer-encoding") or "").strip().lower()
    if not isinstance(name, str) or not name or encoding not in _PLAIN:
        raise InvalidRequest(f"{_WRONG}: a part has no plain name, or is encoded.")
    filename = head.get_param("filename", header="content-disposition")
    is_file = filename is not None
    if is_file and name == "model":
        raise InvalidRequest("model must be a field, not a file.")
    return _Part(name, start, stop, head.get_content_type() if is_file else "", str(filename or ""))
