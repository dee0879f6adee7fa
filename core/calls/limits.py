"""Limits of requests: of our keys and their users by the minute, and of vendors as they tell them."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from core import clock
from core.domain.generation import Quota
from core.domain.key import Key
from core.errors import RateLimited
from core.storage.engine.writer import Writer
from core.storage.gateway.rate_hits import WINDOW_US, Hit, take

MAX_NAMES = 10_000
MAX_WAIT_S = 10.0


class RateLimits:
    """Requests a minute, of a key and of each of its users: a sliding window, so that no minute ever sees more.

    is_shared: Whether other processes count against the same limits; then the database counts.
    """

    def __init__(self, writer: Writer, *, is_shared: bool) -> None:
        self._writer = writer
        self._is_shared = is_shared
        self._taken_at: dict[str, deque[int]] = {}

    async def take(self, key: Key | None, user_id: str) -> None:
        """Count a request. Raises: RateLimited: it would be one too many; it is not counted."""
        if key is None or (key.rpm is None and key.user_rpm is None):
            return
        limits: tuple[tuple[str, int], ...] = () if key.rpm is None else ((f"key:{key.id}", key.rpm),)
        if key.user_rpm is not None:  # calls without a user are one user's
            limits += ((f"user:{key.id}:{user_id}", key.user_rpm),)
        if self._is_shared:
            found = await asyncio.wrap_future(self._writer.decide_together(take, Hit(clock.now_us(), limits)))
        else:
            found = self._take(limits, time.monotonic_ns() // 1000)
        if found is not None:
            name, wait_us = found
            whose = "this key" if name.startswith("key:") else "this user"
            limit = dict(limits)[name]
            raise RateLimited(
                f"The limit of {whose} is {limit:,} requests a minute.", retry_after_s=wait_us / 1e6, quota=name[:4]
            )

    def _take(self, limits: tuple[tuple[str, int], ...], now_us: int) -> tuple[str, int] | None:
        for name, limit in limits:
            taken_at = self._taken_at.setdefault(name, deque())
            while taken_at and taken_at[0] <= now_us - WINDOW_US:
                taken_at.popleft()
            if len(taken_at) >= limit:
                return name, taken_at[len(taken_at) - limit] + WINDOW_US - now_us
        for name, _ in limits:
            self._taken_at[name].append(now_us)
        if len(self._taken_at) > MAX_NAMES:  # users who have not been here for a minute
            self._taken_at = {n: at for n, at in self._taken_at.items() if at and at[-1] > now_us - WINDOW_US}
        return None


@dataclass(slots=True)
class _Room:
    """The rest of a vendor's rate limit. asks_at: When one request may go although nothing should be left."""

    remaining: int
    until: float
    asks_at: float


class Pacer:
    """Keeps within what vendors say is left of their rate limits, instead of running into them.

    One room a model: how many requests are left until when.

    What a vendor says may be wrong, and hours away: every MAX_WAIT_S one request goes nevertheless, to learn the truth.
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
        """Note what a vendor has said with an answer."""
        if quota.reset_s > 0:
            now = time.monotonic()
            self._rooms[provider, model] = _Room(quota.remaining, now + quota.reset_s, now + MAX_WAIT_S)
