"""The pace at which a vendor is asked for many answers that nobody waits for one by one."""

import random
from dataclasses import dataclass

from core.errors import AimmError, CircuitOpen, ProviderUnavailable, RateLimited

WIDTH = 16
PAUSE_S, MAX_PAUSE_S = 1.0, 60.0


@dataclass(slots=True)
class Pace:
    """The number of requests at the same time, and the moment until which none is begun.

    A vendor that wants fewer gets half as many, and then one more for every other answer.
    """

    most: int = WIDTH
    width: float = WIDTH
    until: float = 0.0
    n_refused: int = 0
    refused_since: float = 0.0

    def heard(self, error: AimmError | None, now: float) -> None:
        if error is None:
            self.width, self.n_refused = min(self.most, self.width + 0.5), 0
            return
        if now >= self.until:  # of those asked together, the first one counts
            self.refused_since = self.refused_since if self.n_refused else now
            self.n_refused += 1
            self.width = max(1.0, self.width / 2)
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = min(MAX_PAUSE_S, PAUSE_S * 2.0**self.n_refused) * random.uniform(0.5, 1.0)
        self.until = max(self.until, now + wait_s)

    def is_given_up(self, now: float, after_s: float) -> bool:
        """Tell whether nothing has been answered for so long, or will not be."""
        return self.n_refused > 0 and max(now, self.until) - self.refused_since > after_s


def wants_pause(error: AimmError) -> bool:
    """True of what passes by itself and says nothing about the request."""
    return isinstance(error, CircuitOpen) or (
        isinstance(error, RateLimited | ProviderUnavailable) and error.is_retryable
    )
