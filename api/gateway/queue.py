"""A bounded number of calls at once, and a bounded queue behind them: more are told to come back later."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from api.errors import CallerLeft
from core import Overloaded

WAIT_S = 30.0


class Queue:
    """For one event loop. n_slots: Calls at once. n_waiting: How many more may wait. wait_s: For how long; None = as
    usual."""

    def __init__(self, n_slots: int, n_waiting: int, wait_s: float | None = None) -> None:
        self._wait_s = wait_s
        self._free = n_slots
        self._n_waiting = n_waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self, gone: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[None]:
        """gone: Returns when the caller has left; who waits then loses its place.

        Raises:
            Overloaded: The queue is full, or it took too long. CallerLeft.
        """
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(gone)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, gone: Callable[[], Awaitable[None]] | None) -> None:
        if len(self._waiting) >= self._n_waiting:
            raise Overloaded("Too many calls are under way, and too many wait.", retry_after_s=1.0)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        has_slot = False
        leaving = None if gone is None else asyncio.ensure_future(gone())
        if leaving is not None:
            leaving.add_done_callback(lambda _: None if mine.done() else mine.set_exception(CallerLeft()))
        try:
            async with asyncio.timeout(WAIT_S if self._wait_s is None else self._wait_s):
                await mine
            has_slot = True
        except TimeoutError:
            raise Overloaded("Too many calls are under way.", retry_after_s=2.0) from None
        finally:
            if leaving is not None:
                leaving.cancel()
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif not has_slot and not mine.cancelled() and mine.exception() is None:
                self._leave()  # its slot came just when it gave up

    def _leave(self) -> None:
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1
