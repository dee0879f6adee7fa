"""Requests a minute, of a key and of each of its users: a sliding window, so that no minute ever sees more."""

import asyncio
import time
from collections import deque

from core import clock
from core.domain.key import Key
from core.errors import RateLimited
from core.storage.engine.writer import Writer
from core.storage.gateway.rate_hits import WINDOW_US, Hit, take

MAX_NAMES = 10_000


class RateLimits:
    """is_shared: Whether other processes count against the same limits; then the database counts."""

    def __init__(self, writer: Writer, *, is_shared: bool) -> None:
        self._writer = writer
        self._is_shared = is_shared
        self._seen: dict[str, deque[int]] = {}

    async def take(self, key: Key | None, user_id: str) -> None:
        """Count a request. Raises: RateLimited: it would be one too many; it is not counted."""
        if key is None or (key.rpm is None and key.user_rpm is None):
            return
        limits: tuple[tuple[str, int], ...] = () if key.rpm is None else ((f"key:{key.id}", key.rpm),)
        if key.user_rpm is not None:  # calls without a user are one user's
            limits += ((f"user:{key.id}:{user_id}", key.user_rpm),)
        if not limits:
            return
        if self._is_shared:
            found = await asyncio.wrap_future(self._writer.ask(take, Hit(clock.now_us(), limits)))
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
            seen = self._seen.setdefault(name, deque())
            while seen and seen[0] <= now_us - WINDOW_US:
                seen.popleft()
            if len(seen) >= limit:
                return name, seen[len(seen) - limit] + WINDOW_US - now_us
        for name, _ in limits:
            self._seen[name].append(now_us)
        if len(self._seen) > MAX_NAMES:  # users who have not been here for a minute
            self._seen = {name: seen for name, seen in self._seen.items() if seen and seen[-1] > now_us - WINDOW_US}
        return None
