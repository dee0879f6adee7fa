"""Records of a file, one after the other, each with its place: CSV, JSONL, JSON and YAML."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from core.datasets.decoding import Data, head_of, lines, whole
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.formats import yaml_text

Format = Literal["csv", "jsonl", "json", "yaml"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "json", "yaml")
MAX_CELL = 16_000_000
MAX_JSON = 100_000_000  # characters of a file that is read in one
SEPARATORS = ",;\t|"
ONE_COLUMN = "\x1f"  # what stands in no text: a file of one column has no separators
_ENDINGS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
    ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip
_WRAPPERS = (
    "data", "rows", "items", "examples", "records", "cases", "test_cases", "testCases", "samples", "instances",
)  # fmt: skip
_WRAPS = re.compile(rf'"({"|".join(("tests", *_WRAPPERS))})"\s*:\s*\[\s*\{{')
_OF_A_FILE = ("name", "title", "description", "version", "id", "$schema", "metadata", "created", "created_at", "author")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')


class Record(NamedTuple):
    """A record at its place.

    line: Where it begins; of a JSON list the number of the item.
    values: Cells of a table in their order, or an object; None = it could not be read.
    problem: Why it is bad; empty = it is not.
    """

    line: int
    values: Any
    problem: str = ""


class Shape(NamedTuple):
    """The form of a file. separator: Of a table."""

    format: Format
    encoding: str
    separator: str = ""


def shape_of(data: Data, encoding: str, format_: str | None, name: str) -> Shape:
    """The form that is said, or that the name's ending or the first characters tell. Raises: InvalidRequest"""
    if format_ is not None and format_ not in (*FORMATS, "tsv"):
        raise InvalidRequest(f"format == {format_[:20]!r}, must be one of {', '.join(FORMATS)}")
    head, is_all = head_of(data, encoding)
    if not head.strip():
        raise InvalidRequest("The file is empty.")
    ending = next((kind for end, kind in _ENDINGS.items() if name.lower().endswith(end)), None)
    found: Any = "csv" if format_ == "tsv" else format_ or ending or _sniffed(head)
    if found == "json" and not format_ and head.lstrip()[:1] == "{" and _is_lines(head):
        found = "jsonl"
    return Shape(found, encoding, _separator(head, is_all) if found == "csv" else "")


def _sniffed(head: str) -> Format:
    start = head.lstrip()
    if start.startswith("{"):
        return "jsonl" if _is_lines(head) else "json"
    if re.match(r"\[\s*[\[{\]]", start):
        return "json"
    return "yaml" if re.match(r"(#.*\s+)*(- |---\s|tests:\s)", start) else "csv"


def _is_lines(head: str) -> bool:
    """True where the first line is an object by itself, or a bad one that another follows."""
    first, _, others = head.strip().partition("\n")
    if not others and _WRAPS.search(first):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except json.JSONDecodeError:
        return not others or others.lstrip().startswith("{")  # longer than was looked at


def _separator(head: str, is_all: bool) -> str:
    """The sign between cells: the one by which most rows are as wide as the first."""
    if named := _SEPARATOR_LINE.fullmatch(head.split("\n", 1)[0]):
        return named[1]
    best, found = (0.0, 0), ONE_COLUMN
    for sign in SEPARATORS:
        if not _has_header(head, sign):
            continue
        widths = [
            len(cells) for cells in csv.reader(io.StringIO(head, newline=""), delimiter=sign) if "".join(cells).strip()
        ]
        widths = widths if is_all or len(widths) < 2 else widths[:-1]
        if widths and widths[0] > 1:
            score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
            best, found = (score, sign) if score > best else (best, found)
    return found


def _has_header(head: str, separator: str) -> bool:
    """True where the first row can be read so: else what stands in quotes is taken for signs between cells."""
    csv.field_size_limit(MAX_CELL)
    try:
        return any(
            "".join(cells).strip()
            for cells in csv.reader(io.StringIO(head, newline=""), delimiter=separator, strict=True)
        )
    except csv.Error:
        return False


def records(data: Data, shape: Shape) -> Iterator[Record]:
    """All records of a file; of a table the first one is its header. Raises: InvalidRequest: It cannot be read."""
    if shape.format == "csv":
        return _rows(data, shape)
    return _objects_by_line(data, shape) if shape.format == "jsonl" else _items(data, shape)


def _rows(data: Data, shape: Shape) -> Iterator[Record]:
    csv.field_size_limit(MAX_CELL)
    text = lines(data, shape.encoding)
    n_before, first = 0, next(text, "")
    if _SEPARATOR_LINE.fullmatch(first):
        n_before = 1
    else:
        text = _chained(first, text)
    reader = csv.reader(text, delimiter=shape.separator, strict=True)
    while True:
        line = n_before + reader.line_num + 1
        try:
            yield Record(line, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, None, _in_words(str(error)))


def _chained(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def _in_words(error: str) -> str:
    if "unexpected end" in error:
        return "a quote opens here and never closes"
    if "expected after" in error:
        return "something stands between a closing quote and the next cell; a quote in a cell is written twice"
    if "larger than field limit" in error:
        return f"a cell has more than {MAX_CELL:,} characters"
    return f"it cannot be read: {error}"


def _objects_by_line(data: Data, shape: Shape) -> Iterator[Record]:
    for line, text in enumerate(_by_newline(lines(data, shape.encoding)), 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text, has_keys_once=True)
        except json.JSONDecodeError as error:
            place = f"this is not JSON: {error.msg}, column {error.colno}" if error.doc else error.msg
            yield Record(line, None, place)
            continue
        yield _object(line, value)


def _by_newline(parts: Iterator[str]) -> Iterator[str]:
    """Lines that end in \\n alone: a bare \\r is white space in JSON."""
    held = ""
    for part in parts:
        held += part
        if held.endswith("\n"):
            yield held
            held = ""
    if held:
        yield held


def _object(line: int, value: Any) -> Record:
    if isinstance(value, Mapping) and value:
        return Record(line, dict(value))
    if value == {}:
        return Record(line, None, "the object is empty")
    return Record(line, None, "an object is expected here, such as {...}")


def _only_list(found: Mapping[str, Any]) -> list[Any]:
    """The cases that an object wraps (`{"version": "1.0", "data": [{…}, …]}`), else the object itself as one case."""
    wrapped = [name for name, value in found.items() if name in _WRAPPERS and isinstance(value, list)]
    if len(wrapped) != 1 or not all(isinstance(each, Mapping) for each in found[wrapped[0]]):
        return [found]
    return found[wrapped[0]] if all(name in _OF_A_FILE for name in found if name != wrapped[0]) else [found]


def _items(data: Data, shape: Shape) -> Iterator[Record]:
    text = whole(data, shape.encoding, MAX_JSON if shape.format == "json" else yaml_text.MAX_CHARACTERS)
    if shape.format == "json":
        try:
            found = json.loads(text, has_keys_once=True)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}: this is not JSON" if error.doc else "The JSON cannot be read"
            raise InvalidRequest(f"{place}: {error.msg}.") from None
    else:
        found = yaml_text.read(text)
    if isinstance(found, Mapping):
        found = found.get("tests", _only_list(found))
    if not isinstance(found, list):
        raise InvalidRequest("A list of cases is expected, or an object with `tests`.")
    for number, item in enumerate(found, 1):
        line = next(iter(item)).line if shape.format == "yaml" and isinstance(item, Mapping) and item else number
        yield _object(line, yaml_text.typed(item) if shape.format == "yaml" else item)
