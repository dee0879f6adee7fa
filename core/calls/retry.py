"""Whether and when a failed attempt is tried again. Pure."""

import random

from core.errors import AimmError

MAX_ATTEMPTS = 5
WAIT_INITIAL_S = 0.5
WAIT_MAX_S = 16.0


def wait_before_retry_s(error: AimmError, attempt: int, remaining_s: float, rng: random.Random) -> float | None:
    """Seconds until the next attempt; None = give up.

    A vendor's own Retry-After is obeyed, with a little jitter on top so that callers do not return in step; where it
    does not fit into the remaining time, waiting would be in vain and the caller hears at once.
    Otherwise: exponential back-off with full jitter.
    """
    if not error.is_retryable or attempt >= MAX_ATTEMPTS:
        return None
    if error.retry_after_s is not None:
        wait_s = error.retry_after_s * (1 + 0.1 * rng.random())
    else:
        wait_s = rng.uniform(0.1, 1.0) * min(WAIT_MAX_S, WAIT_INITIAL_S * 2.0 ** (attempt - 1))
    return wait_s if wait_s < remaining_s else None
