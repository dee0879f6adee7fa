"""The log as a file, written while it is read: JSON lines, CSV or Parquet."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from core.domain.generation import Generation
from core.domain.message import Media, Message, Thought, ToolCall
from core.errors import InvalidRequest
from core.formats import strict_json as json
from core.formats.blocks import blocks
from core.formats.text import safe_cell

FORMATS = ("jsonl", "csv", "parquet")
MEDIA_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
AT_ONCE = 500  # calls to a part of the file


class _Column(NamedTuple):
    """A column of the file. kind: Of Parquet: text, moment, money, whole, number, flag or list."""

    kind: str
    of: Callable[[Generation], Any]


def _of(name: str) -> Callable[[Generation], Any]:
    return lambda g: getattr(g, name)


def _of_usage(name: str) -> Callable[[Generation], Any]:
    return lambda g: getattr(g.usage, name)


_TEXT = (
    "operation status error_message finish_reason cost_status price_id service_tier ref_id ref_part ref_name".split()
)
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens")
COLUMNS: dict[str, _Column] = {
    "id": _Column("text", _of("id")),
    "created_at": _Column("moment", _of("created_at")),
    "model": _Column("text", _of("request_model")),
    "response_model": _Column("text", _of("response_model")),
    "vendor": _Column("text", _of("provider")),
    "deployment": _Column("text", _of("deployment")),
    "source": _Column("text", _of("source")),
    "simulated": _Column("flag", _of("is_simulated")),
    "error": _Column("text", _of("error_class")),
    **{name: _Column("text", _of(name)) for name in _TEXT},
    **{name: _Column("whole", _of_usage(name)) for name in _TOKENS},
    "cost_usd": _Column("money", _of("cost_usd")),
    "latency_s": _Column("number", _of("latency_s")),
    "ttft_s": _Column("number", _of("ttft_s")),
    "n_attempts": _Column("whole", _of("n_attempts")),
    "key": _Column("text", _of("key_id")),
    "user": _Column("text", _of("user_id")),
    "team": _Column("text", _of("team")),
    "tags": _Column("list", _of("tags")),
    "session": _Column("text", _of("session_id")),
    "prompt_version": _Column("text", _of("prompt_version")),
    "note": _Column("text", _of("note")),
}  # fmt: skip
TEXTS: dict[str, _Column] = {
    "system": _Column("text", _of("system")),
    "messages": _Column("text", lambda g: json.dumps([_turn(m) for m in g.messages], ensure_ascii=False)),
    "text": _Column("text", _of("text")),
    "thinking": _Column("text", _of("thinking")),
    "tool_calls": _Column("text", lambda g: json.dumps([asdict(call) for call in g.tool_calls], ensure_ascii=False)),
}


def _turn(message: Message) -> dict[str, Any]:
    """A turn as JSON; of media what they are."""
    turn: dict[str, Any] = {"role": "system" if message.is_system else message.role, "content": message.text}
    return turn | ({"parts": [_part(part) for part in message.parts]} if message.parts else {})


def _part(part: Any) -> Any:
    if isinstance(part, str):
        return part
    if isinstance(part, Media):
        return {"media": part.media_type, "url": part.url}
    if isinstance(part, Thought):
        return {"thought": part.text}
    return {"call": asdict(part)} if isinstance(part, ToolCall) else {"result": {"name": part.name, "text": part.text}}


def written(calls: Iterable[Generation], format_: str, *, texts: bool) -> Iterator[bytes]:
    """The file in parts. texts: With prompts and answers, where they are kept.

    Raises:
        InvalidRequest: There is no such format.
    """
    if format_ not in FORMATS:
        raise InvalidRequest(f"format == {format_[:20]!r}, must be one of {', '.join(FORMATS)}", param="format")
    columns = {**COLUMNS, **(TEXTS if texts else {})}
    write = {"jsonl": _lines, "csv": _csv, "parquet": _parquet}[format_]
    return write(blocks(calls, AT_ONCE), columns)


def _lines(parts: Iterable[Sequence[Generation]], columns: dict[str, _Column]) -> Iterator[bytes]:
    for calls in parts:
        yield b"".join(
            json.encoded({name: _as_json(column.of(g)) for name, column in columns.items()}) + b"\n" for g in calls
        )


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)  # whole nano-dollars up to nine millions of dollars are the same as a float
    return value.isoformat() if isinstance(value, datetime) else value


def _csv(parts: Iterable[Sequence[Generation]], columns: dict[str, _Column]) -> Iterator[bytes]:
    file = io.StringIO()
    table = csv.writer(file)
    table.writerow(columns)
    for calls in parts:
        table.writerows([_as_cell(column.of(g)) for column in columns.values()] for g in calls)
        yield file.getvalue().encode("utf-8", "replace")
        file.seek(0)
        file.truncate()
    yield file.getvalue().encode()


def _as_cell(value: Any) -> Any:
    if isinstance(value, str):
        return safe_cell(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return safe_cell(",".join(value))
    return f"{value:f}" if isinstance(value, Decimal) else value


def _parquet(parts: Iterable[Sequence[Generation]], columns: dict[str, _Column]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {
        "text": pa.string(), "moment": pa.timestamp("us", "UTC"), "money": pa.decimal128(18, 9), "whole": pa.int64(),
        "number": pa.float64(), "flag": pa.bool_(), "list": pa.list_(pa.string()),
    }  # fmt: skip
    schema = pa.schema([(name, kinds[column.kind]) for name, column in columns.items()])
    file = _Passing()
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for calls in parts:
            values = {name: [column.of(g) for g in calls] for name, column in columns.items()}
            writer.write_table(pa.Table.from_pydict(values, schema))
            yield file.taken()
    yield file.taken()


class _Passing(io.RawIOBase):
    """A file that holds what was written only until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        return found
