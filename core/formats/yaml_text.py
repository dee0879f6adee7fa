"""YAML as its author wrote it: every scalar is a text; its meaning is for the reader of the field to say. And back."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import yaml

from core.errors import InvalidRequest
from core.formats.text import is_storable, mended

MAX_CHARACTERS = 1_000_000  # of a document, aliases written out
MAX_DEPTH = 100
MAX_DIGITS = 400
# What YAML 1.1 takes for line ends and 1.2 for letters stands as a character without a meaning while it is read.
_LETTERS = {0x85: 0xFDD0, 0x2028: 0xFDD1, 0x2029: 0xFDD2}
_BACK = {stand_in: letter for letter, stand_in in _LETTERS.items()}
_HINTS = {
    "character '\\t'": "a tab cannot indent; use spaces",
    "mapping values are not allowed": "a second `: ` in one line; a text with `: ` in it needs quotes or a block (|)",
    "cannot start any token": "a text that begins with @, `, %, & or * needs quotes or a block (|)",
    "could not find expected ':'": "the line before is no `key: value`; the lines of a text are indented",
}
_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_OTHER_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")  # YAML folds these as line ends, or drops them
NUMBER = re.compile(rf"{_INTEGER.pattern}|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "true": True, "false": False, "null": None}
_WORDS |= {form: value for word, value in _WORDS.items() for form in (word.capitalize(), word.upper())}


class _Loader(yaml.BaseLoader):
    """Takes tabs between and inside texts, as YAML 1.2 does; only indentation is made of spaces."""

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.peek() == "\t" and self._is_separated():
            self.forward()
            super().scan_to_next_token()

    def _is_separated(self) -> bool:
        """True if the tab stands in brackets, after something in its line, or in a line with only a comment."""
        before = self.buffer[self.pointer - self.column : self.pointer]
        return bool(self.flow_level or before.strip()) or self.peek(self._n_blanks()) in "\0\r\n#"

    def _n_blanks(self) -> int:
        n = 0
        while self.peek(n) in " \t":
            n += 1
        return n

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str]:
        blanks = self.prefix(self._n_blanks())
        if "\t" not in blanks:
            return super().scan_plain_spaces(indent, start_mark) or []
        self.forward(len(blanks))
        return super().scan_plain_spaces(indent, start_mark) or [] if self.peek() in "\r\n" else [blanks]


class Scalar(str):
    """A text of a document, and its line. is_plain: Written without quotes, so that it may be a number or null."""

    __slots__ = ("is_plain", "line")
    is_plain: bool
    line: int


def read(text: str | bytes) -> Any:
    """One document as dicts, lists and `Scalar`s; an empty one is None. Bytes are UTF-8.

    Raises:
        InvalidRequest: It is not YAML, or has duplicate keys, tags, a second document, or too much; the message
            names the line.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(f"The YAML has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read.")
    try:
        return _Reader(yaml.parse(text.translate(_LETTERS), Loader=_Loader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        why = error.problem or error.context or "it cannot be read"
        why = next((hint for sign, hint in _HINTS.items() if sign in why), why)
        raise InvalidRequest(f"This is not YAML: {place}{why}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = ord(text[error.position])
        raise InvalidRequest(
            f"This is not YAML: line {line}: the character U+{code:04X}, which YAML does not take"
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InvalidRequest(f"This is not YAML: {str(error)[:300]}") from None


def nodes(text: str) -> Any:
    """The nodes of a document that `read` takes, with their places in it."""
    return yaml.compose(text.translate(_LETTERS), Loader=_Loader)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidRequest(f"This is not YAML: line {line}: the text is not UTF-8; save it as UTF-8") from None


class _Reader:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._size = 0

    def document(self) -> Any:
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), 0)
        next(self._events)  # the document's end
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            _refuse(after, "a second document begins; one is read")
        return None if isinstance(value, Scalar) and is_null(value) else value

    def _value(self, event: Any, depth: int) -> Any:
        before = self._size
        if depth > MAX_DEPTH:
            _refuse(event, f"nested too deeply, more than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                _refuse(event, f"*{event.anchor}: no anchor of this name is complete here")
            value, size = self._anchors[event.anchor]
            self._grow(event, size)
            return value
        if event.tag not in _TAGS:
            _refuse(event, f"the tag {event.tag[:60]} is not known here")
        value = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else self._collection(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = value, self._size - before
        return value

    def _scalar(self, event: Any) -> Scalar:
        self._grow(event, 1 + len(event.value))
        text = mended(event.value.translate(_BACK))
        if not is_storable(text):
            _refuse(event, "a text holds a character that cannot be kept")
        scalar = Scalar(text)
        scalar.is_plain, scalar.line = not event.style and event.tag is None, event.start_mark.line + 1
        return scalar

    def _collection(self, event: Any, depth: int) -> Any:
        self._grow(event, 1)
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(each, depth + 1) for each in self._until(yaml.SequenceEndEvent)]
        found: dict[Scalar, Any] = {}
        for each in self._until(yaml.MappingEndEvent):
            key = self._value(each, depth + 1)
            if not isinstance(key, Scalar):
                _refuse(each, "a key is no text; put a text that begins with { or [ in quotes")
            if key in found:
                _refuse(each, f"{key[:60]!r} is there twice, first in line {_line_of(key, found)}")
            found[key] = self._value(next(self._events), depth + 1)
        return found

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _grow(self, event: Any, size: int) -> None:
        self._size += size
        if self._size > MAX_CHARACTERS:
            _refuse(event, f"with its aliases written out, this is more than {MAX_CHARACTERS:,} characters")


def _refuse(event: Any, why: str) -> NoReturn:
    raise InvalidRequest(f"line {event.start_mark.line + 1}: {why}")


def _line_of(key: str, found: Mapping[Scalar, Any]) -> int:
    return next(known.line for known in found if known == key)


def is_null(value: Any) -> bool:
    """True for no value: null, ~ or nothing at all, without quotes."""
    return value is None or (isinstance(value, Scalar) and value.is_plain and _WORDS.get(value, value) is None)


def typed(value: Any) -> Any:
    """Plain values: what stands without quotes is a number, true, false or null where YAML 1.2 says so.

    Raises:
        InvalidRequest: A number has no end, or more digits than are read.
    """
    if isinstance(value, Mapping):
        return {str(key): typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    if not isinstance(value, Scalar):
        return value
    if value.is_plain and value in _WORDS:
        return _WORDS[value]
    return _number(value) if value.is_plain and NUMBER.fullmatch(value) else str(value)


def _number(text: Scalar) -> int | float:
    if len(text) > MAX_DIGITS:
        raise InvalidRequest(f"line {text.line}: a number of {len(text):,} digits; at most {MAX_DIGITS} are read")
    if _INTEGER.fullmatch(text):
        return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
    if not math.isfinite(number := float(text)):
        raise InvalidRequest(f"line {text.line}: {text[:60]} is larger than a number can be")
    return number


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as a person would write them; equal values written out, not as aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _OTHER_BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)
# Texts that YAML 1.2 reads as numbers and 1.1 does not, such as 1e3, are put in quotes too.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(rf"(?:{NUMBER.pattern})\Z"), list("-+.0123456789"))


def dump(value: Any) -> str:
    """A value as YAML that `read` and `typed` give back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
