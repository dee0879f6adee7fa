"""Keeps within what vendors say is left of their rate limits, instead of running into them."""

import time
from dataclasses import dataclass

from core.domain.generation import Quota

MAX_WAIT_S = 10.0


@dataclass(slots=True)
class _Room:
    """asks_at: When one request may go although nothing should be left."""

    remaining: int
    until: float
    asks_at: float


class Pacer:
    """One room a model: how many requests are left until when.

    What a vendor says may be wrong, and hours away: every MAX_WAIT_S one request goes nevertheless and learns the truth.
    """

    def __init__(self) -> None:
        self._rooms: dict[tuple[str, str], _Room] = {}

    def wait_s(self, provider: str, model: str) -> float:
        """Seconds until a request may be sent; 0 = now, and it is counted."""
        room = self._rooms.get((provider, model))
        if room is None:
            return 0.0
        now = time.monotonic()
        if now >= room.until:
            del self._rooms[provider, model]
            return 0.0
        if room.remaining > 0:
            room.remaining -= 1
            return 0.0
        if now >= room.asks_at:
            room.asks_at = now + MAX_WAIT_S
            return 0.0
        return min(room.until, room.asks_at) - now

    def heard(self, provider: str, model: str, quota: Quota) -> None:
        """What a vendor has said with an answer."""
        if quota.reset_s > 0:
            now = time.monotonic()
            self._rooms[provider, model] = _Room(quota.remaining, now + quota.reset_s, now + MAX_WAIT_S)
