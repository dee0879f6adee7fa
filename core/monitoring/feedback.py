"""Opinions of answers: given, changed, and summed by model and tag."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from core import clock
from core.domain.generation import Generation
from core.domain.key import Key
from core.domain.metrics import Feedback, FeedbackSums
from core.errors import InvalidRequest, NotFound
from core.formats.text import is_storable
from core.storage.calls.feedback import FeedbackStore
from core.storage.calls.generations import GenerationStore
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer

MAX_TEXT = 20_000
_THUMBS = ("up", "down")


class FeedbackService:
    """deleted: A sentence where calls were deleted, else empty.

    keeps_text: Whether the server keeps texts; a key may keep less.
    """

    def __init__(
        self, database: Database, writer: Writer, log: GenerationStore, deleted: Callable[[], str], *, keeps_text: bool
    ) -> None:
        self._store = FeedbackStore(database)
        self._writer = writer
        self._log = log
        self._deleted = deleted
        self._keeps_text = keeps_text

    def own_call(self, generation_id: str, key: Key | None) -> Generation:
        """The call of an id, which a key must have made itself. Raises: NotFound."""
        g = self._log.find(generation_id)
        if g is None or not (key is None or key.may("admin") or g.key_id == key.id):
            whose = " of this key" if key else ""
            raise NotFound(f"There is no call {generation_id[:60]!r}{whose}.", hint=self._deleted())
        return g

    def give(
        self, generation_id: str, given: dict[str, Any], *,
        key: Key | None = None, user_id: str = "", is_private: bool = False,
    ) -> Feedback:  # fmt: skip
        """Record an opinion of an answer; it takes the place of what the same person said before.

        given: thumb (up or down), rating (1 to 5), text.
        is_private: Keep no text.

        Raises:
            InvalidRequest: See kept. NotFound: there is no such call, or it is another key's.
        """
        self.own_call(generation_id, key)
        said = self.kept(given, key=key, user_id=user_id, is_private=is_private)
        whose = {"generation_id": generation_id, "key_id": key.id if key else "", "user_id": user_id}
        self._writer.run(lambda connection: self._store.put(connection, whose, said, clock.now_us()))
        return next(
            each for each in self.of(generation_id) if (each.key_id, each.user_id) == (whose["key_id"], user_id)
        )

    def withdraw(self, generation_id: str, *, key: Key | None = None, user_id: str = "") -> None:
        """Forget an opinion of an answer. Raises: NotFound: there is no such call, or it is another key's."""
        self.own_call(generation_id, key)
        whose = {"generation_id": generation_id, "key_id": key.id if key else "", "user_id": user_id}
        self._writer.run(lambda connection: self._store.remove(connection, whose))

    def kept(
        self, given: dict[str, Any], *, key: Key | None = None, user_id: str = "", is_private: bool = False
    ) -> dict[str, Any]:
        """The part of an opinion that is kept.

        Raises:
            InvalidRequest: Nothing is said that may be kept, or a value cannot be.
        """
        said = _checked(given, user_id)
        if not self._keeps_text or is_private or not (key is None or key.keeps_text):
            said.pop("text", None)
        if not said:
            raise InvalidRequest("Texts are not kept here; say thumb or rating.")
        return said

    def of(self, *generation_ids: str) -> list[Feedback]:
        """The opinions of these calls, the latest first."""
        return self._store.of(generation_ids) if generation_ids else []

    def sums(
        self, since: datetime, until: datetime, *, by: str = "model", simulated: bool = False
    ) -> list[FeedbackSums]:
        """by: model or tag. The most first."""
        marks: defaultdict[str, list[tuple[str | None, float | None]]] = defaultdict(list)
        for model, tags, thumb, rating in self._store.marks(
            clock.to_us(since), clock.to_us(until), simulated=simulated
        ):
            for name in [model] if by == "model" else [tag for tag in tags.split(",") if tag]:
                marks[name].append((thumb, rating))
        return sorted((_sums(name, each) for name, each in marks.items()), key=lambda sums: (-sums.n, sums.name))


def _sums(name: str, marks: Sequence[tuple[str | None, float | None]]) -> FeedbackSums:
    thumbs = [thumb for thumb, _ in marks]
    ratings = [rating for _, rating in marks if rating is not None]
    mean = sum(ratings) / len(ratings) if ratings else None
    return FeedbackSums(
        name=name, n=len(marks), n_up=thumbs.count("up"), n_down=thumbs.count("down"), n_rated=len(ratings), rating=mean
    )


def _checked(given: dict[str, Any], user_id: str) -> dict[str, Any]:
    """Raises: InvalidRequest"""
    said = {name: given[name] for name in ("thumb", "rating", "text") if given.get(name) is not None}
    if isinstance(said.get("text"), str) and not said["text"].strip():
        del said["text"]
    if not said:
        raise InvalidRequest("Say something: thumb (up or down), rating (1 to 5) or text.")
    if "thumb" in said and said["thumb"] not in _THUMBS:
        raise InvalidRequest(f"thumb == {str(said['thumb'])[:40]!r}, must be up or down")
    rating = said.get("rating")
    if rating is not None and not (type(rating) in (int, float) and math.isfinite(rating) and 1 <= rating <= 5):
        raise InvalidRequest(f"rating == {str(rating)[:40]}, must be a number from 1 to 5")
    text = said.get("text", "")
    if not (isinstance(text, str) and len(text) <= MAX_TEXT and is_storable(text)):
        raise InvalidRequest(f"text must be a text of at most {MAX_TEXT:,} characters, without NUL")
    if len(user_id) > 500 or not is_storable(user_id):
        raise InvalidRequest("user must be a text of at most 500 characters, without NUL")
    return said
