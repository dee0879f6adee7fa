"""The filter of the log as conditions, and the ways to what it finds: an index each, and how many calls it leaves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, FromClause, func, literal_column, or_, select

from core.clock import to_us
from core.domain.log.filter import LogFilter
from core.domain.metrics import FAILED
from core.formats.money import to_nano
from core.storage.gateway.schema import api_keys, feedback
from core.storage.schema import IS_NAMED, IS_NOT_OK, IS_SIMULATED, call_tags, generations

FEW = 20_000  # calls of one value, that are looked at one by one
c = generations.c
_EQUAL = {"model": "request_model", "vendor": "provider", "source": "source", "error": "error_class"}
_EQUAL |= {"user": "user_id", "session": "session_id", "deployment": "deployment"}
# The fields whose columns have an index, and what it is an index of.
_INDEXED: dict[str, tuple[Any, ...]] = {
    **{name: (IS_NAMED[name],) for name in ("session", "user", "key", "prompt", "workflow", "deployment")},
    "experiment": (IS_NAMED["workflow"],),
    "model": (),
    "source": (),
}

Column = Callable[[str], Any]


@dataclass(frozen=True)
class Way:
    """A way to the calls of one value.

    where: What its index finds; the other conditions are looked at in what it leaves.
    start: The tables that it begins with, generations joined to them.
    at: The moments in whose order its index is.
    field_name: The field of the filter that it answers.
    has_bodies: It leads by way of the texts.
    """

    where: tuple[Any, ...] = ()
    start: FromClause = generations
    at: Any = field(default_factory=lambda: c.created_at)
    field_name: str = ""
    has_bodies: bool = False


class Conditions:
    """The conditions of a filter on one database."""

    def __init__(self, connection: Connection, wanted: LogFilter) -> None:
        self._is_sqlite = connection.dialect.name == "sqlite"
        self._keys = _key_ids(connection, wanted.key)
        self._wanted = wanted

    def of(self, way: Way, before: tuple[int, str] | None = None) -> list[Any]:
        """All conditions, for a selection that goes this way. before: Of calls before (microseconds, id) alone."""
        found = [*way.where, *self.span(way.at), *([] if self._is_sqlite else self._of_indexes())]
        if before is not None:
            found += [way.at <= before[0], or_(way.at < before[0], c.id < before[1])]
        return found + list(self._others(way))

    def _of_indexes(self) -> Iterator[Any]:
        """The conditions of partial indexes, without which PostgreSQL does not take them."""
        for name, partial in _INDEXED.items():
            if getattr(self._wanted, name) is not None:
                yield from partial
        if self._wanted.error or self._wanted.status not in (None, "ok"):
            yield IS_NOT_OK
        if self._wanted.calls is not None:
            yield IS_SIMULATED[self._wanted.calls == "simulated"]

    def span(self, at: Any) -> list[Any]:
        """The range of time; a condition on the moment there is always, so that its index is taken."""
        since_us, until_us = self.range_us
        return [at >= since_us] if self._wanted.until is None else [at >= since_us, at < until_us]

    @property
    def range_us(self) -> tuple[int, int]:
        since, until = self._wanted.since, self._wanted.until
        return 0 if since is None else to_us(since), 1 << 62 if until is None else to_us(until)

    def stretch_end(self, connection: Connection, before: tuple[int, str] | None, n_calls: int) -> int | None:
        """The moment of the n-th call before a place; None = there are not so many in the range of time."""
        at = c.created_at
        where = self.span(at) if before is None else [*self.span(at), at <= before[0]]
        found: int | None = connection.execute(
            select(at).where(*where).order_by(at.desc()).limit(1).offset(n_calls)
        ).scalar()
        return found

    def ways(self) -> Iterator[Way]:
        """Those that may leave little, the likeliest first."""
        wanted = self._wanted
        if wanted.feedback in ("up", "down", "any"):
            opinions = select(feedback.c.generation_id).where(*_says(wanted.feedback)).distinct().subquery()
            yield Way(start=opinions.join(generations, c.id == opinions.c.generation_id), field_name="feedback")
        if wanted.tag:
            start = call_tags.join(generations, c.id == call_tags.c.generation_id)
            yield Way((call_tags.c.tag == wanted.tag,), start, call_tags.c.created_at, "tag")
        for name, partial in _INDEXED.items():
            if getattr(wanted, name) is not None:
                yield Way((*partial, self._is_of(name, c.__getitem__)), field_name=name)
        if wanted.error or wanted.status not in (None, "ok"):
            yield Way((IS_NOT_OK,), field_name="not ok")
        if wanted.calls is not None:
            yield Way((IS_SIMULATED[wanted.calls == "simulated"],), field_name="calls")

    def n_of(self, connection: Connection, way: Way) -> int:
        """The number of calls that a way leaves in the range of time; FEW + 1 = more than FEW."""
        one: Any = literal_column("1")
        start = call_tags if way.field_name == "tag" else way.start  # whose rows need no looking up
        some = select(one).select_from(start).where(*way.where, *self.span(way.at)).limit(FEW + 1)
        return int(connection.execute(select(func.count()).select_from(some.subquery())).scalar_one())

    def _column(self, name: str) -> Any:
        """A column as SQLite does not look it up by an index of its own: the way has been chosen."""
        return literal_column(f"+generations.{name}", c[name].type) if self._is_sqlite else c[name]

    def _others(self, way: Way) -> Iterator[Any]:
        wanted, column = self._wanted, self._column
        for name in (*_EQUAL, "key", "workflow", "experiment", "prompt", "calls"):
            if getattr(wanted, name) is not None and name != way.field_name:
                yield self._is_of(name, column)
        if wanted.status is not None:
            status = column("status")
            yield status.not_in(("ok", "stopped")) if wanted.status == FAILED else status == wanted.status
        for name, amount, is_least in (
            ("cost_nano_usd", wanted.min_cost_usd, True), ("cost_nano_usd", wanted.max_cost_usd, False),
        ):  # fmt: skip
            if amount is not None:
                yield column(name) >= to_nano(amount) if is_least else column(name) <= to_nano(amount)
        if wanted.min_latency_s is not None:
            yield column("latency_us") >= round(wanted.min_latency_s * 1e6)
        if wanted.max_latency_s is not None:
            yield column("latency_us") <= round(wanted.max_latency_s * 1e6)
        if wanted.tag and way.field_name != "tag":
            position = func.instr if self._is_sqlite else func.strpos
            yield position(column("tags"), f",{wanted.tag},") > 0
        if wanted.feedback and way.field_name != "feedback":
            with_one = select(feedback.c.generation_id).where(*_says(wanted.feedback))
            yield c.id.not_in(with_one) if wanted.feedback == "none" else c.id.in_(with_one)

    def _is_of(self, name: str, column: Column) -> Any:
        value = getattr(self._wanted, name)
        if name in _EQUAL:
            return column(_EQUAL[name]) == value
        if name == "key":
            return column("key_id") == self._keys[0] if len(self._keys) == 1 else column("key_id").in_(self._keys)
        if name == "prompt":
            version = column("prompt_version")
            return version == value if "@" in value else version.startswith(f"{value}@", autoescape=True)
        if name == "calls":
            return (column("provider") == "simulated") == (value == "simulated")
        return column("ref_name") == f"{name}:{value}"


def _key_ids(connection: Connection, key: str | None) -> list[str]:
    """The keys of this id or name; what is none of them may be the id of one that is gone."""
    if key is None:
        return []
    k = api_keys.c
    return list(connection.execute(select(k.id).where(or_(k.id == key, k.name == key))).scalars()) or [key]


def _says(opinion: str) -> list[Any]:
    return [feedback.c.thumb == opinion] if opinion in ("up", "down") else []


def best_way(connection: Connection, conditions: Conditions) -> tuple[Way, int]:
    """The way that leaves fewest calls, and how many; FEW + 1 = each leaves many, and this one leaves all."""
    found, least = Way(), FEW + 1
    for way in conditions.ways():
        n = conditions.n_of(connection, way)
        if n < least:
            found, least = way, n
        if least < FEW // 10:
            break
    return found, least
