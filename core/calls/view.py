"""Views of a running call: a moment of it, and a pipe by which its chunks reach a reader as they come."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass

from core.domain.generation import Chunk, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """A moment of a running call. waiting: why nothing happens, e.g. a retry."""

    text: str
    thinking: str
    elapsed_s: float
    ttft_s: float | None
    usage: Usage | None
    waiting: str
    is_done: bool

    def left_s(self, usual_tokens: int) -> float | None:
        """The time left at the speed so far if the answer gets as long as usual; None before its first text."""
        if self.is_done:
            return 0.0
        if self.ttft_s is None or not self.text:
            return None
        return (self.elapsed_s - self.ttft_s) * max(0.0, usual_tokens / self.n_tokens - 1)

    @property
    def n_tokens(self) -> int:
        """The output tokens so far, as the vendor says or by the usual four letters a token."""
        return self.usage.output_tokens if self.usage else max(1, len(self.text) // 4)


class Pipe:
    """Chunks from the core's loop to a reader on a loop, often the same. Give `put` to a call as its `on_chunk`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._chunks: deque[Chunk | None] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, chunk: Chunk | None) -> None:
        if threading.get_ident() == self._thread:
            self._put(chunk)
        else:
            self._loop.call_soon_threadsafe(self._put, chunk)

    def _put(self, chunk: Chunk | None) -> None:
        self._chunks.append(chunk)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> Chunk | None:
        """The next chunk; None = the call has ended and is recorded."""
        while not self._chunks:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._chunks.popleft()
