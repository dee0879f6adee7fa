"""Generation rows and their bodies: codec, one, list, search."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select

from core.config import LogContent
from core.domain.generation import CHARGED, COUNTS, Generation, Message, Parameters, Receipt, ReceiptLine, Usage
from core.domain.message import Media, Part, Thought, Tool, ToolCall, ToolResult
from core.formats import strict_json as json
from core.formats.money import from_nano, to_nano
from core.formats.text import searchable
from core.storage.engine import records
from core.storage.engine.bulk import is_one_of
from core.storage.engine.damaged import Parts, as_text, each, readable, whole
from core.storage.engine.database import Store, in_batches
from core.storage.schema import call_tags, generation_bodies, generations


def to_row(generation: Generation) -> dict[str, Any]:
    ttft_s = generation.ttft_s
    return records.to_row(
        generations,
        generation,
        **{name: getattr(generation.usage, name) for name in COUNTS},
        more_usage=json.dumps(more) if (more := _more_to_json(generation.usage)) else "",
        error_message=_storable(generation.error_message),
        tags=to_tags(generation.tags),
        usages=json.dumps([usage_to_json(u) for u in generation.usages]) if len(generation.usages) > 1 else "",
        **money_of(generation.receipts, generation.cost_usd),
        latency_us=round(generation.latency_s * 1e6),
        ttft_us=None if ttft_s is None else round(ttft_s * 1e6),
    )


def empty_row() -> dict[str, Any]:
    """A row with each column as the table leaves it, for those who fill in the rest without a generation."""
    defaults: dict[Any, Any] = {column: column.server_default for column in generations.c}
    return {c.name: None if given is None else c.type.python_type(given.arg) for c, given in defaults.items()}


def money_of(receipts: Sequence[Receipt], cost: Decimal | None) -> dict[str, Any]:
    """The columns of a cost: the whole, and the parts for uncached and for cached input."""
    media = ("audio", "image", "video")
    parts = {
        "input_nano_usd": ("input", *media),
        "cached_nano_usd": ("cached", *(f"cached {name}" for name in media)),
    }
    if cost is None:
        return {"cost_nano_usd": None} | dict.fromkeys(parts, 0)
    sums = {name: sum((r.usd_of(*kinds) for r in receipts), Decimal(0)) for name, kinds in parts.items()}
    return {"cost_nano_usd": to_nano(cost)} | {name: to_nano(usd) for name, usd in sums.items()}


def to_tags(tags: Sequence[str]) -> str:
    """`,a,b,`: each between commas, so that one can be looked for."""
    return f",{','.join(tags)}," if tags else ""


def usage_to_json(usage: Usage) -> dict[str, Any]:
    counts: dict[str, Any] = {name: value for name in COUNTS if (value := getattr(usage, name))}
    more = _more_to_json(usage)
    return counts | ({"more": more} if more else {})


def usage_from_json(value: Mapping[str, Any]) -> Usage:
    counts = dict(value)
    more = counts.pop("more", {})
    return _usage(counts, more)


def _more_to_json(usage: Usage) -> dict[str, int]:
    return dict(usage.more) | ({} if usage.charged_usd is None else {CHARGED: to_nano(usage.charged_usd)})


def usages_of(row: Any) -> tuple[Usage, ...]:
    """The usage of each billed attempt of a row."""
    if row["usages"]:
        return tuple(map(usage_from_json, json.loads(row["usages"])))
    return (_counts_of(row, _more(row["more_usage"] or "{}")),)


def _counts_of(row: Any, more: dict[str, int]) -> Usage:
    return _usage({name: int(row[name]) for name in COUNTS}, more)


def _usage(counts: Mapping[str, int], more: Mapping[str, int]) -> Usage:
    charged = more.get(CHARGED)
    others = {name: count for name, count in more.items() if name != CHARGED}
    return Usage(**counts, more=others, charged_usd=None if charged is None else from_nano(charged))


def to_body(generation: Generation, keep: LogContent) -> dict[str, Any]:
    """The body row; with anything but `full`, no prompt, answer or system text goes in."""
    full = keep == "full"
    parameters = generation.parameters.as_dict() if keep != "none" else {}
    return {
        "generation_id": generation.id,
        "messages": json.dumps([_turn_to_json(m) for m in generation.messages]) if full else None,
        "system": generation.system if full else None,
        "parameters": json.dumps(parameters if full else {k: v for k, v in parameters.items() if k != "json_schema"}),
        "text": _storable(generation.text) if full else None,
        "thinking": (_storable(generation.thinking) or None) if full else None,
        "tools": json.dumps([asdict(t) for t in generation.tools]) if full and generation.tools else None,
        "tool_calls": _calls_to_json(generation.tool_calls) if full and generation.tool_calls else None,
        "receipts": json.dumps([receipt_to_json(receipt) for receipt in generation.receipts]),
        "search_text": search_text(generation.messages, generation.text) if full else None,
    }


def search_text(messages: Sequence[Message], answer: str) -> str:
    """The text that a search looks through, `searchable` as the words searched for are: databases differ in folding."""
    found = [text for message in messages for part in message.content for text in _texts(part)]
    return _storable(searchable("\n".join([*found, answer])))


def _texts(part: Part) -> tuple[str, ...]:
    if isinstance(part, Media):
        return ()
    if isinstance(part, ToolCall):
        return part.name, part.arguments
    return (part,) if isinstance(part, str) else (part.text,)


def _storable(text: str) -> str:
    """Without NUL, which PostgreSQL does not take; a vendor may send one."""
    return text.replace("\x00", "")


def _turn_to_json(message: Message) -> list[Any]:
    """[role, text], and what else is in it; of media only what they are: their bytes are not kept."""
    role = "system" if message.is_system else message.role
    if not message.parts:
        return [role, message.text]
    return [role, message.text, [_part_to_json(part) for part in message.parts]]


def _part_to_json(part: Part) -> Any:
    if isinstance(part, str):
        return part
    if isinstance(part, Media):
        return {"media": part.media_type, "bytes": part.n_bytes, "url": part.url[:500]}
    if isinstance(part, ToolCall):
        return {"call": asdict(part)}
    if isinstance(part, Thought):
        return {"thought": part.text}
    media = {"media": [_part_to_json(medium) for medium in part.media]} if part.media else {}
    return {"result": asdict(replace(part, media=())) | media}


def _turn_from_json(turn: list[Any]) -> Message:
    role, text, *rest = turn
    parts = tuple(_part_from_json(part) for part in rest[0]) if rest else ()
    return Message("user" if role == "system" else role, text, parts, is_system=role == "system")


def _part_from_json(value: Any) -> Part:
    if isinstance(value, str):
        return value
    if "media" in value:
        return Media(value["media"], url=value["url"])
    if "call" in value:
        return ToolCall(**value["call"])
    if "thought" in value:
        return Thought(value["thought"], "")
    media = tuple(_part_from_json(medium) for medium in value["result"].get("media", ()))
    return ToolResult(**{**value["result"], "media": media})


def _calls_to_json(calls: Sequence[ToolCall]) -> str:
    return _storable(json.dumps([[c.id, c.name, c.arguments, c.signature] for c in calls]))


def receipt_to_json(receipt: Receipt) -> dict[str, Any]:
    lines = [[line.kind, line.count, str(line.price_usd), line.per] for line in receipt.lines]
    return {"price_id": receipt.price_id, "note": receipt.note, "lines": lines}


def _receipt_from_json(value: dict[str, Any]) -> Receipt:
    lines = tuple(
        ReceiptLine(kind=kind, count=count, price_usd=Decimal(price), per=per[0] if per else 1_000_000)
        for kind, count, price, *per in value["lines"]
    )
    return Receipt(price_id=value["price_id"], note=value["note"], lines=lines)


def from_row(row: Any) -> Generation:
    """A generation from a row of the numbers, with the body's columns where the query joined them."""
    ttft_us = row["ttft_us"]
    parts = Parts(row)
    body: dict[str, Any] = {}
    if "messages" in row:
        body = {name: parts.read(name, read, empty) for name, (read, empty) in _BODY.items()}
    return records.from_row(
        Generation,
        row,
        usage=_counts_of(row, parts.read("more_usage", _more, {})),
        tags=tuple(tag for tag in row["tags"].split(",") if tag),
        usages=parts.read("usages", _USAGES, ()),
        latency_s=row["latency_us"] / 1e6,
        ttft_s=None if ttft_us is None else ttft_us / 1e6,
        **body,
        damaged=tuple(parts.damaged),
    )


def _more(text: Any) -> dict[str, int]:
    return {str(name): int(count) for name, count in json.loads(text).items()}


_USAGES = each(usage_from_json)
# Column of the body -> its reader, and what stands for nothing.
_BODY: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "messages": (each(_turn_from_json), ()),
    "system": (as_text, None),
    "parameters": (lambda text: Parameters(**json.loads(text)), Parameters()),
    "text": (as_text, ""),
    "thinking": (as_text, ""),
    "tools": (each(lambda tool: Tool(**tool)), ()),
    "tool_calls": (each(lambda call: ToolCall(*call)), ()),
    "receipts": (each(_receipt_from_json), ()),
}


def _preview(messages: str) -> str:
    return str(json.loads(messages)[-1][1])


class GenerationStore(Store):
    """Reads generations; writing goes through the Writer."""

    def find(self, generation_id: str) -> Generation | None:
        """A recorded call with its texts; None = there is none of this id."""
        statement = with_body().where(generations.c.id == generation_id)
        rows = self._database.rows(statement)
        return whole("call", rows[0]._mapping, from_row) if rows else None

    def by_ref(self, ref_id: str) -> list[Generation]:
        """All calls of one run, comparison or experiment, oldest first, with bodies."""
        statement = with_body().where(generations.c.ref_id == ref_id).order_by(generations.c.created_at)
        with self._database.read() as connection:
            return readable("call", connection.execute(statement).mappings(), from_row)

    def with_texts(self, ids: Sequence[str]) -> list[Generation]:
        """The calls of these ids whose answers are kept, with bodies."""
        with self._database.read() as connection:
            wanted = is_one_of(connection, generations.c.id, ids) & generation_bodies.c.text.is_not(None)
            return readable("call", connection.execute(with_body().where(wanted)).mappings(), from_row)

    def parts_of(self, ref_ids: Sequence[str], part: str) -> list[Generation]:
        """The calls that are this part of any of these wholes, oldest first, with bodies."""
        if not ref_ids:
            return []
        is_part = generations.c.ref_id.in_(ref_ids) & (generations.c.ref_part == part)
        with self._database.read() as connection:
            statement = with_body().where(is_part).order_by(generations.c.created_at)
            return readable("call", connection.execute(statement).mappings(), from_row)

    def previews(self, ids: Sequence[str], n_chars: int = 120) -> dict[str, str]:
        """The first characters of the last prompt of each call."""
        b = generation_bodies.c
        rows = self._database.rows(select(b.generation_id, b.messages).where(b.generation_id.in_(ids)))
        return {row[0]: Parts(row._mapping).read("messages", _preview, "")[:n_chars] for row in rows}

    def count(self) -> int:
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(generations)).scalar_one()

    def all_rows(self) -> Iterator[dict[str, Any]]:
        with self._database.read() as connection:
            result = in_batches(connection, select(generations)).mappings()
            yield from (dict(row) for row in result)

    @staticmethod
    def delete_source(connection: Connection, source: str) -> None:
        ids = select(generations.c.id).where(generations.c.source == source)
        for of in (generation_bodies, call_tags):
            connection.execute(delete(of).where(of.c.generation_id.in_(ids)))
        connection.execute(delete(generations).where(generations.c.source == source))


def with_body() -> Select[Any]:
    return select(generations, *(generation_bodies.c[name] for name in _BODY)).outerjoin(generation_bodies)
