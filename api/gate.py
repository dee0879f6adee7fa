"""A bounded number of calls at once and a bounded queue behind them: more are told to come back, instead of all being slow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core import Overloaded

WAIT_S = 30.0


class Gate:
    """n: calls at once. n_waiting: how many more may wait for their turn. One event loop's."""

    def __init__(self, n: int, n_waiting: int) -> None:
        self._free = n
        self._n_waiting = n_waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises: Overloaded: the queue is full, or it took too long."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._leave()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._n_waiting:
            raise Overloaded("Too many calls are under way, and too many wait.", retry_after_s=1.0)
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        has_turn = False
        try:
            async with asyncio.timeout(WAIT_S):
                await mine
            has_turn = True
        except TimeoutError:
            raise Overloaded("Too many calls are under way.", retry_after_s=2.0) from None
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif not has_turn and not mine.cancelled():
                self._leave()  # its turn came just when it gave up

    def _leave(self) -> None:
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1
