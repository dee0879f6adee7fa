"""What can be told of a call beside its record, for those who count calls or trace them."""

from collections.abc import Callable
from dataclasses import dataclass

from core.domain.generation import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """overhead_s: Our own share of the latency. n_retries: attempts after the first. fallback_from: the model that should have
    answered; empty = it did. fallback_reason: the class of its error. is_hit: the answer was kept from before.
    is_streamed: it was asked for piece by piece. traceparent: the caller's trace, as W3C writes it; empty = none.
    """

    overhead_s: float
    n_retries: int = 0
    fallback_from: str = ""
    fallback_reason: str = ""
    is_hit: bool = False
    is_streamed: bool = True
    traceparent: str = ""


Observer = Callable[[Generation, Seen], None]
