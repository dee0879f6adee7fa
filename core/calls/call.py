"""A call while it runs: text so far, Stop, and the generation at the end. Safe to use from any thread."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal

from core.domain.generation import Chunk, Generation, Request, Source, Usage
from core.domain.text import tags_problem
from core.errors import AimmError


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a call comes from. ref_id, ref_part, user_id, key_id, tags: see Generation.

    ref_name: `workflow:` or `experiment:` with its name. cap_usd: What this call may cost at most.
    """

    source: Source = "python"
    ref_id: str | None = None
    ref_part: str | None = None
    ref_name: str = ""
    user_id: str = ""
    key_id: str = ""
    tags: tuple[str, ...] = ()
    cap_usd: Decimal | None = None

    def problem(self) -> str:
        """What is wrong with it, in words; empty = nothing."""
        if len(self.user_id) > 500 or "\x00" in self.user_id:
            return "user must have at most 500 characters"
        return tags_problem(self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """A moment of a running call. n_pieces: chunks of text so far; waiting: why nothing happens, e.g. a retry."""

    text: str
    thinking: str
    elapsed_s: float
    ttft_s: float | None
    n_pieces: int
    usage: Usage | None
    waiting: str
    is_done: bool


class Call:
    """The handle of one call. `done` is set once its row is durable."""

    def __init__(self, call_id: str, request: Request, origin: Origin) -> None:
        self.id = call_id
        self.request = request
        self.origin = origin
        self.started_at = time.monotonic()
        self.first_text_at: float | None = None
        self.finished_at: float | None = None
        self.usage: Usage | None = None
        self.waiting = ""
        self.is_cancelled = False
        self.error: AimmError | None = None  # why it failed; None for what was answered, stopped or broke off
        self.done: Future[Generation] = Future()
        self.done.set_running_or_notify_cancel()  # whoever stops waiting for it must not cancel it for the others
        self._pieces: list[str] = []
        self._thinking: list[str] = []
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[str | None], None]] = []

    @property
    def text(self) -> str:
        with self._lock:
            return "".join(self._pieces)

    @property
    def thinking(self) -> str:
        with self._lock:
            return "".join(self._thinking)

    @property
    def has_output(self) -> bool:
        return bool(self._pieces or self._thinking)

    def result(self, timeout_s: float | None = None) -> Generation:
        """Wait for the recorded generation, whatever its status.

        Raises:
            AimmError: The call could not be recorded.
        """
        return self.done.result(timeout_s)

    def answered(self, generation: Generation) -> Generation:
        """The generation, if it is an answer.

        Raises:
            AimmError: The call failed or was blocked; the error names the logged generation.
        """
        if self.error is not None:
            self.error.generation_id = generation.id
            raise self.error
        return generation

    def cancel(self) -> None:
        """Stop: the vendor request is cancelled, what came is kept and recorded."""
        self.is_cancelled = True
        task, loop = self._task, self._loop
        if task is not None and loop is not None:
            loop.call_soon_threadsafe(task.cancel)

    def view(self) -> CallView:
        now = self.finished_at or time.monotonic()
        first = self.first_text_at
        return CallView(
            text=self.text,
            thinking=self.thinking,
            elapsed_s=now - self.started_at,
            ttft_s=None if first is None else first - self.started_at,
            n_pieces=len(self._pieces),
            usage=self.usage,
            waiting=self.waiting,
            is_done=self.done.done(),
        )

    def listen(self, listener: Callable[[str | None], None]) -> None:
        """Call `listener` with all text so far, then with each piece, then with None; from the core's thread."""
        with self._lock:
            if self._pieces:
                listener("".join(self._pieces))
            if self.done.done():
                listener(None)
            else:
                self._listeners.append(listener)

    async def pieces(self) -> AsyncIterator[str]:
        """The text piece by piece, for a caller with an event loop of its own; it ends with the call, however that ends."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def put(piece: str | None) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, piece)

        self.listen(put)
        while (piece := await queue.get()) is not None:
            yield piece

    # What follows is the engine's side.

    def attach(self, task: "asyncio.Task[None]", loop: asyncio.AbstractEventLoop) -> None:
        self._task, self._loop = task, loop
        if self.is_cancelled:
            task.cancel()

    def feed(self, chunk: Chunk) -> None:
        with self._lock:
            if chunk.thinking:
                self._thinking.append(chunk.thinking)
            if chunk.text:
                if self.first_text_at is None:
                    self.first_text_at = time.monotonic()
                self._pieces.append(chunk.text)
                for listener in self._listeners:
                    listener(chunk.text)
            self.usage = chunk.usage or self.usage
            self.waiting = ""

    def finish(self, result: Generation | AimmError) -> None:
        with self._lock:
            if isinstance(result, Generation):
                self.done.set_result(result)
            else:
                self.done.set_exception(result)
            for listener in self._listeners:
                listener(None)
            self._listeners.clear()
