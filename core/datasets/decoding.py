"""Bytes as text: the encoding of a file, by its first bytes, and its lines as they stand."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from core.errors import InvalidRequest

Data = bytes | Path
HEAD_BYTES = 65_536
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(data: Data) -> str:
    """By its mark, else by where zeros stand, else UTF-8."""
    with _opened(data) as file:
        head = file.read(HEAD_BYTES)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"PAR1", b"%PDF")):
        raise InvalidRequest(
            "This is a workbook, an archive or another file of bytes, not a text.",
            hint="Save a workbook as CSV UTF-8, or unpack the archive.",
        )
    if head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    return "utf-16-be" if head[::2].count(0) > len(head) // 4 else "utf-8"


def checked(encoding: str) -> str:
    """Raises: InvalidRequest: There is no such encoding."""
    try:
        codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError, TypeError):
        raise InvalidRequest(f"{encoding[:40]!r} is no encoding; files have utf-8, utf-16 or windows-1252.") from None
    return encoding


def lines(data: Data, encoding: str) -> Iterator[str]:
    """The lines with their ends, which are not changed. Raises: InvalidRequest: A line is not in this encoding."""
    with _opened(data) as file, io.TextIOWrapper(file, encoding, newline="") as stream:
        try:
            yield from stream
        except UnicodeError as error:
            raise _refusal(data, encoding, error) from None


def head_of(data: Data, encoding: str) -> tuple[str, bool]:
    """(the first characters, whether they are all)."""
    with _opened(data) as file, io.TextIOWrapper(file, encoding, newline="") as stream:
        return _read(stream, data, encoding)


def whole(data: Data, encoding: str, most: int) -> str:
    """All of it as one text. Raises: InvalidRequest: It is longer than `most` characters, or in another encoding."""
    with _opened(data) as file, io.TextIOWrapper(file, encoding, newline="") as stream:
        try:
            text = stream.read(most + 1)
        except UnicodeError as error:
            raise _refusal(data, encoding, error) from None
    if len(text) > most:
        raise InvalidRequest(f"The file has more than {most:,} characters; as JSONL, larger ones are read.")
    return text


def _read(stream: TextIO, data: Data, encoding: str) -> tuple[str, bool]:
    try:
        text = stream.read(HEAD_BYTES)
        return text, not stream.read(1)
    except UnicodeError as error:
        raise _refusal(data, encoding, error) from None


def _opened(data: Data) -> BinaryIO:
    if isinstance(data, bytes):
        return io.BytesIO(data)
    try:
        return data.open("rb")
    except OSError as error:
        raise InvalidRequest(f"{data} cannot be read: {error.strerror or type(error).__name__}.") from None


def _refusal(data: Data, encoding: str, error: UnicodeError) -> InvalidRequest:
    place = ""
    if encoding.startswith("utf-8"):
        with _opened(data) as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as found:
                    place = f"line {number}: the byte 0x{line[found.start]:02X} "
                    break
    name = encoding.removesuffix("-sig").upper()
    return InvalidRequest(
        f"{place or 'the text '}is not {name}.",
        hint="Save the file as UTF-8, or say its encoding, such as windows-1252.",
    )
