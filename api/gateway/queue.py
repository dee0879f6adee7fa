"""A bounded number of calls at once and a bounded queue behind them: more are told to come back, instead of all being slow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from api.gateway.exchange import Left
from core import Overloaded

WAIT_S = 30.0


class Gate:
    """n: calls at once. n_waiting: how many more may wait for their turn. One event loop's."""

    def __init__(self, n: int, n_waiting: int) -> None:
        self._free = n
        self._n_waiting = n_waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, gone: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[None]:
        """gone: Returns when the caller has left; who waits then loses its place.

        Raises:
            Overloaded: The queue is full, or it took too long. Left.
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
        has_turn = False
        leaving = None if gone is None else asyncio.ensure_future(gone())
        if leaving is not None:
            leaving.add_done_callback(lambda _: None if mine.done() else mine.set_exception(Left()))
        try:
            async with asyncio.timeout(WAIT_S):
                await mine
            has_turn = True
        except TimeoutError:
            raise Overloaded("Too many calls are under way.", retry_after_s=2.0) from None
        finally:
            if leaving is not None:
                leaving.cancel()
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif not has_turn and not mine.cancelled() and mine.exception() is None:
                self._leave()  # its turn came just when it gave up

    def _leave(self) -> None:
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1
