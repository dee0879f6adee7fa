"""Words in prompts and answers: few calls are found by the index of words, many by going back through the log."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, cast, column, func, literal_column, select, table
from sqlalchemy.dialects.postgresql import TSQUERY

from core.clock import from_us
from core.domain.metrics import Counted
from core.formats.text import finds, is_whole_word, search_words, searchable, storable
from core.storage.calls.filters import Conditions, Way, best_way
from core.storage.engine.bulk import is_one_of
from core.storage.schema import generation_bodies, generations

FEW = 3_000  # calls whose texts are looked at one by one
MANY = 20_000  # calls of the index of words that are put in order by their time
ENOUGH_S = 0.3  # so long is gone back through the log for one page
_AT_ONCE = 200  # texts
_FIRST_STRETCH, _LAST_STRETCH = 2_000, 32_000  # calls that are gone back before the clock is looked at
_MORE = "The calls with these words are many and are not counted."
c, _searched = generations.c, generation_bodies.c.search_text
_COLUMNS = (c.id, c.created_at, c.status, c.cost_nano_usd, _searched)
_words = table("call_words", column("rowid"))
# The same expression as of the index: every sign of ASCII becomes a space.
_SIGNS = "".join(chr(code) for code in range(1, 128) if not chr(code).isalnum())

Place = tuple[int, str]


class Found(NamedTuple):
    """Calls with the words, the newest first.

    reached: Where the next page begins to look, where these were not found by looking at all.
    all_rows: All that the filter finds; None = not known.
    """

    rows: Sequence[Any]
    reached: Place | None = None
    all_rows: Sequence[Any] | None = None
    note: str = ""

    def total_of(self, summed: Callable[[Sequence[Any]], Counted]) -> Counted | None:
        return None if self.all_rows is None else summed(self.all_rows)


def find(connection: Connection, conditions: Conditions, words: str, limit: int, before: Place | None) -> Found:
    """The newest calls of a filter in whose texts these words are, one more than `limit`."""
    bodies = Bodies(connection, words)
    if not bodies.wanted:
        return Found([], all_rows=[])
    way, n = best_way(connection, conditions)
    if n > FEW:
        way, n = bodies.indexed(), bodies.n_indexed()
    if n > MANY:
        return _going_back(connection, bodies, conditions, limit, before)
    if n > FEW:
        return _newest(bodies, conditions.of(way), limit, before)
    rows, _ = bodies.read(way, conditions.of(way))
    rest = rows if before is None else [row for row in rows if (row.created_at, row.id) < before]
    return Found(rest[: limit + 1], all_rows=rows)


def _newest(bodies: "Bodies", where: Sequence[Any], limit: int, before: Place | None) -> Found:
    """The calls that the index of words finds, put in order; texts are looked at where words alone do not decide."""
    rows = bodies.places(where)
    rest = rows if before is None else [row for row in rows if (row.created_at, row.id) < before]
    if bodies.is_word:
        return Found(rest[: limit + 1], all_rows=rows)
    found: list[Any] = []
    for start in range(0, len(rest), _AT_ONCE):
        found += bodies.holding(rest[start : start + _AT_ONCE])
        if len(found) > limit:
            break
    return Found(found[: limit + 1], note=_MORE)


class Bodies:
    """The texts of one database, looked through for one text."""

    def __init__(self, connection: Connection, words: str) -> None:
        self.wanted = wanted = searchable(storable(words)).strip()  # what is pasted has spaces around it
        self._connection = connection
        self._is_sqlite = connection.dialect.name == "sqlite"
        self._pattern = finds(wanted)
        # No LIKE: it gives %, _ and \\ a meaning, and has a limit on the length of what is looked for.
        position = func.instr if self._is_sqlite else func.strpos
        self.is_in = position(_searched, wanted) > 0
        # What one or two letters begin is no use of the index.
        self._words = [word for word in search_words(wanted) if len(word) > 2 or is_whole_word(word)]

    @property
    def is_word(self) -> bool:
        """True if one word is looked for, which the index of words finds by itself."""
        return self._words == [self.wanted]

    def holds(self, searched: str | None) -> bool:
        return searched is not None and self._pattern.search(searched) is not None

    def indexed(self) -> Way:
        """The way by the index of words."""
        if not self._is_sqlite:
            return Way((self._matches(),), generation_bodies.join(generations), has_bodies=True)
        at: Any = literal_column("+generations.created_at")  # not by its own index
        row = literal_column("generation_bodies.rowid") == _words.c.rowid
        return Way((self._matches(),), _words.join(generation_bodies, row).join(generations), at, has_bodies=True)

    def n_indexed(self) -> int:
        """The number of texts that the index finds; MANY + 1 = more than MANY, or no word is fit for it."""
        if not self._words:
            return MANY + 1
        start = _words if self._is_sqlite else generation_bodies
        one: Any = literal_column("1")
        some = select(one).select_from(start).where(self._matches()).limit(MANY + 1)
        return int(self._connection.execute(select(func.count()).select_from(some.subquery())).scalar_one())

    def _matches(self) -> Any:
        if self._is_sqlite:
            match = " AND ".join(f'"{word}"{"" if is_whole_word(word) else "*"}' for word in self._words)
            return literal_column("call_words").op("MATCH")(match)
        signs = func.translate(func.left(_searched, 250_000), _SIGNS, " " * len(_SIGNS))
        vector = func.array_to_tsvector(func.array_remove(func.string_to_array(signs, " "), ""))
        match = " & ".join(f"'{word}'{'' if is_whole_word(word) else ':*'}" for word in self._words)
        return vector.op("@@")(cast(match, TSQUERY))  # not to_tsquery, which drops signs

    def places(self, where: Sequence[Any]) -> list[Any]:
        """The calls that the index of words finds, the newest first, without a look at their texts."""
        statement = select(*_COLUMNS[:-1]).select_from(self.indexed().start).where(*where)
        found = self._connection.execute(statement).all()
        return sorted(found, key=lambda row: (row.created_at, row.id), reverse=True)

    def holding(self, rows: Sequence[Any]) -> list[Any]:
        """Those of these calls that have the text."""
        body = generation_bodies.c
        mine = is_one_of(self._connection, body.generation_id, [row.id for row in rows])
        texts = self._connection.execute(select(body.generation_id, body.search_text).where(mine)).all()
        ids = {id_ for id_, searched in texts if self.holds(searched)}
        return [row for row in rows if row.id in ids]

    def read(self, way: Way, where: Sequence[Any], most: int | None = None) -> tuple[list[Any], Place | None]:
        """The calls of a way that have the text, the newest first, and the last place seen where `most` cut them."""
        start = way.start if way.has_bodies else way.start.join(generation_bodies)
        statement = select(*_COLUMNS).select_from(start).where(*where, self.is_in)
        if most is not None:
            statement = statement.order_by(way.at.desc(), c.id.desc()).limit(most)
        rows = self._connection.execute(statement).all()
        found = [row for row in rows if self.holds(row.search_text)]
        found.sort(key=lambda row: (row.created_at, row.id), reverse=True)
        return found, (rows[-1].created_at, rows[-1].id) if len(rows) == most else None


def _going_back(
    connection: Connection, bodies: Bodies, conditions: Conditions, limit: int, before: Place | None
) -> Found:
    """Look at the texts of one stretch of the log after the other, until there are enough or it has taken too long."""
    begun, stretch, place = time.monotonic(), _FIRST_STRETCH, before
    found: list[Any] = []
    while True:
        floor = conditions.stretch_end(connection, place, stretch)
        where = conditions.of(Way(), place) + ([] if floor is None else [c.created_at >= floor])
        rows, place = bodies.read(Way(), where, 2 * limit + 100)
        found += rows
        if len(found) > limit:
            return Found(found[: limit + 1], note=_MORE)
        if place is None and floor is None:
            return Found(found, all_rows=found if before is None else None)
        place = place or (floor or 0, "")
        if time.monotonic() - begun > ENOUGH_S:
            note = f"The calls since {from_us(place[0]):%Y-%m-%d %H:%M} UTC were looked through; the next page goes on."
            return Found(found, place, note=note)
        stretch = min(2 * stretch, _LAST_STRETCH)
