"""What a model costs at one moment."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """USD per million tokens; `above` = (prompt tokens, rate): a longer prompt pays that rate for everything."""

    base: Decimal
    above: tuple[tuple[int, Decimal], ...] = ()

    def at(self, prompt_tokens: int) -> Decimal:
        rate = self.base
        for start, price in self.above:
            if prompt_tokens > start:
                rate = price
        return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price row of one model. cached, audio, cached_audio: None = charged like plain input."""

    id: str
    model: str
    input: Rate
    output: Rate
    cached: Rate | None = None
    audio: Rate | None = None
    cached_audio: Rate | None = None
