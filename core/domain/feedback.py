"""People's opinions of an answer."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One person's opinion of one answer.

    thumb: up, down or None.
    rating: 1 to 5.
    key_id, user_id: Its author; empty = not said.
    """

    generation_id: str
    key_id: str = ""
    user_id: str = ""
    thumb: str | None = None
    rating: float | None = None
    text: str | None = None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSums:
    """The opinions of a model's or a tag's answers. rating: their mean; None = nobody rated."""

    name: str
    n: int
    n_up: int
    n_down: int
    n_rated: int
    rating: float | None
