"""Limits of requests: of our keys and their users, and of vendors as they tell them."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from core import clock
from core.calls.origin import Origin
from core.domain.generation import Quota
from core.domain.key import Key
from core.domain.people.team import Team
from core.errors import RateLimited
from core.storage.engine.writer import Writer
from core.storage.gateway.rate_hits import WINDOW_US, Hit, Refused, Taken, Use, UseKind, settle, take, wait_us

MAX_NAMES = 10_000
MAX_WAIT_S = 10.0
SLACK_S = 30.0  # beyond a call's time-out, until a process that has not ended it must be dead


class Room(NamedTuple):
    """The rest of a limit after a request was counted."""

    kind: UseKind
    most: int
    left: int


class Pass(NamedTuple):
    """A request that is within its limits: what it took of them, and by kind what is left."""

    hit: Hit | None = None
    rooms: tuple[Room, ...] = ()


class _Window:
    """The uses of one limit in this process: [moment, amount] each, the oldest first."""

    def __init__(self) -> None:
        self.uses: deque[list[int]] = deque()
        self.total = 0

    def drop(self, until_us: int) -> None:
        while self.uses and self.uses[0][0] <= until_us:
            gone = self.uses.popleft()
            self.total -= gone[1]
            gone[0] = -1

    def change(self, use: list[int], amount: int) -> None:
        if use[0] >= 0:
            self.total += amount - use[1]
            use[1] = amount


class RateLimits:
    """Requests and tokens a minute, and calls at once, of a key, of each of its users, and of a team.

    A minute is a sliding window, so that none ever sees more. Tokens are estimated as a call begins, and counted as it
    ends.

    team: Gives a team of a name, if it has limits. Its calls come from wherever its keys and people are, so that the
        database counts them always, and all that such a call uses.
    is_shared: Whether other processes count against the same keys' limits; then the database counts these too.
    timeout_s: The longest that a call takes.
    """

    def __init__(
        self, writer: Writer, team: Callable[[str], Awaitable[Team | None]], *, is_shared: bool, timeout_s: float
    ) -> None:
        self._writer = writer
        self._team = team
        self._is_shared = is_shared
        self._longest_us = round((timeout_s + SLACK_S) * 1e6)
        self._windows: dict[str, _Window] = {}
        self._own: dict[str, list[tuple[_Window, list[int]]]] = {}  # the uses of calls under way, by hit

    async def take(self, origin: Origin, likely_tokens: Callable[[], int] | None) -> Pass:
        """Count a request.

        likely_tokens: Of a call, which `settle` ends; until then it is one of the calls at once. None = it is no call.

        Raises:
            RateLimited: It would be one too many; it is not counted.
        """
        team = await self._team(origin.team) if origin.team else None
        uses = _uses(origin.key, origin.user_id, team, likely_tokens)
        if not uses:
            return FREE
        is_shared = self._is_shared or team is not None
        now_us = clock.now_us() if is_shared else time.monotonic_ns() // 1000
        hit = Hit(secrets.token_hex(12), now_us, now_us + self._longest_us, uses)
        if is_shared:
            found: Taken = await asyncio.wrap_future(self._writer.decide_together(take, hit))
        else:
            found = self._take(hit)
        if isinstance(found, Refused):
            raise _refusal(found)
        rooms = [Room(use.kind, use.most, left) for use, left in zip(uses, found, strict=True)]
        tightest = {room.kind: room for room in sorted(rooms, key=lambda room: -room.left)}
        return Pass(hit if any(use.kind != "requests" for use in uses) else None, tuple(tightest.values()))

    def settle(self, hit: Hit, n_tokens: int | None) -> None:
        """End a call. n_tokens: What it really took; None = not known, and the estimate stands."""
        counted = self._own.pop(hit.id, None)
        if counted is None:
            self._writer.submit(partial(settle, hit=hit, n_tokens=n_tokens))
            return
        for use, (window, own) in zip(hit.uses, counted, strict=True):
            if use.kind == "calls":
                window.change(own, 0)
            elif use.kind == "tokens" and n_tokens is not None:
                window.change(own, n_tokens)

    def _take(self, hit: Hit) -> Taken:
        left = []
        for use in hit.uses:
            window = self._windows.setdefault(use.name, _Window())
            if use.kind != "calls":
                window.drop(hit.at_us - WINDOW_US)
            if window.total + use.amount > use.most:
                return Refused(use, wait_us(use, [(at, n) for at, n in window.uses], hit.at_us))
            left.append(use.most - window.total - use.amount)
        own = []
        for use in hit.uses:
            window, one = self._windows[use.name], [hit.at_us, use.amount]
            if use.kind != "calls":
                window.uses.append(one)
            window.total += use.amount
            own.append((window, one))
        if any(use.kind != "requests" for use in hit.uses):
            self._own[hit.id] = own
        if len(self._windows) > MAX_NAMES:  # users who have not been here for a minute
            self._forget(hit.at_us - WINDOW_US)
        return tuple(left)

    def _forget(self, until_us: int) -> None:
        self._windows = {
            name: window
            for name, window in self._windows.items()
            if window.total and (name.startswith("calls:") or window.uses[-1][0] > until_us)
        }


FREE = Pass()


def _uses(key: Key | None, user_id: str, team: Team | None, likely_tokens: Callable[[], int] | None) -> tuple[Use, ...]:
    limits: list[tuple[UseKind, str, int | None]] = []
    if key is not None:
        own, user = f"key:{key.id}", f"user:{key.id}:{user_id}"  # calls without a user are one user's
        limits += [("requests", own, key.rpm), ("requests", user, key.user_rpm)]
        limits += [("tokens", own, key.tpm), ("tokens", user, key.user_tpm)]
        limits += [("calls", own, key.max_parallel), ("calls", user, key.user_max_parallel)]
    if team is not None:
        all_ = f"team:{team.name}"
        limits += [("requests", all_, team.rpm), ("tokens", all_, team.tpm), ("calls", all_, team.max_parallel)]
    held = [(kind, whose, most) for kind, whose, most in limits if most and (likely_tokens or kind == "requests")]
    n_tokens = likely_tokens() if likely_tokens and any(kind == "tokens" for kind, _, _ in held) else 0
    return tuple(Use(kind, whose, most, n_tokens if kind == "tokens" else 1) for kind, whose, most in held)


def _refusal(found: Refused) -> RateLimited:
    use, wait = found
    kind, _, name = use.whose.partition(":")
    whose = f"the team {name}" if kind == "team" else f"this {kind}"
    of = "calls at the same time" if use.kind == "calls" else f"{use.kind} a minute"
    text = f"The limit of {whose} is {use.most:,} {of}."
    if wait is None:
        text += f" This request alone may take {use.amount:,}: send a shorter one, or a smaller max_tokens."
    seconds = None if wait is None else wait / 1e6
    return RateLimited(text, retry_after_s=seconds, quota=kind, limit=(use.kind, use.most))


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

    def is_full(self, deployment: str, model: str) -> bool:
        """Tell whether a request would have to wait."""
        room, now = self._rooms.get((deployment, model)), time.monotonic()
        return room is not None and room.remaining <= 0 and now < min(room.until, room.asks_at)

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
