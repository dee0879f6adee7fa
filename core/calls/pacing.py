"""Keeps within what vendors say is left of their rate limits, instead of running into them."""

import time
from dataclasses import dataclass

from core.domain.generation import Quota


@dataclass(slots=True)
class _Room:
    remaining: int
    until: float


class Pacer:
    """One room a model: how many requests are left until when."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[str, str], _Room] = {}

    def wait_s(self, provider: str, model: str) -> float:
        """Seconds until a request may be sent; 0 = now, and it is counted."""
        room = self._rooms.get((provider, model))
        if room is None:
            return 0.0
        wait_s = room.until - time.monotonic()
        if wait_s <= 0:
            del self._rooms[provider, model]
            return 0.0
        if room.remaining <= 0:
            return wait_s
        room.remaining -= 1
        return 0.0

    def heard(self, provider: str, model: str, quota: Quota) -> None:
        """What a vendor has said with an answer."""
        if quota.reset_s > 0:
            self._rooms[provider, model] = _Room(quota.remaining, time.monotonic() + quota.reset_s)
