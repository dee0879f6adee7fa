"""A call while it runs: text so far, Stop, and the generation at the end. Safe to use from any thread."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal

from core.domain.budget import Spender
from core.domain.experiment import Assignment
from core.domain.generation import Chunk, Generation, Model, Request, Source, ToolDelta, Usage
from core.domain.key import Key
from core.domain.message import ToolCall
from core.errors import AimmError
from core.formats.text import is_storable, make_lists, mended, tags_problem

OnChunk = Callable[[Chunk | None], None]
MAX_FALLBACKS = 5
MAX_CACHE_S = 30 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a call comes from. ref_id, ref_part, user_id, key_id, tags: see Generation.

    ref_name: `workflow:` or `experiment:` with its name. cap_usd: What this call may cost at most.
    key: With which key it was asked for. fallbacks: Models that answer, in this order, where the one asked for fails.
    cache_s: For how long an answer may be kept and given again; 0 = not at all, None = not said.
    is_private: Keep no text of it.
    is_permitted: The key's rules were applied to what was asked for, and this is what that stands for: an alias of a comparison,
        the workflow of an experiment.
    traceparent: The caller's trace, as W3C writes it.
    """

    source: Source = "python"
    ref_id: str | None = None
    ref_part: str | None = None
    ref_name: str = ""
    user_id: str = ""
    key_id: str = ""
    tags: tuple[str, ...] = ()
    cap_usd: Decimal | None = None
    key: Key | None = None
    fallbacks: tuple[str, ...] = ()
    cache_s: int | None = None
    is_private: bool = False
    is_permitted: bool = False
    traceparent: str = ""

    def __post_init__(self) -> None:
        make_lists(self, "tags", "fallbacks")
        if self.key is not None and not self.key_id:
            object.__setattr__(self, "key_id", self.key.id)
            object.__setattr__(self, "tags", tuple(dict.fromkeys((*self.key.tags, *self.tags))))

    def problem(self) -> str:
        """What is wrong with it, in words; empty = nothing."""
        if len(self.user_id) > 500 or not is_storable(self.user_id):
            return "user must have at most 500 characters, and no NUL or half of a surrogate pair"
        if len(self.fallbacks) > MAX_FALLBACKS:
            return f"{len(self.fallbacks)} fallbacks given, at most {MAX_FALLBACKS} are taken"
        if self.cache_s is not None and not 0 <= self.cache_s <= MAX_CACHE_S:
            return f"cache_s == {self.cache_s}, must be 0 to {MAX_CACHE_S:,} seconds"
        return tags_problem(self.tags)


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


class Call:
    """The handle of one call. `done` is set once its row is durable."""

    def __init__(
        self,
        call_id: str,
        request: Request,
        origin: Origin,
        on_chunk: OnChunk | None = None,
        assignment: Assignment | None = None,
    ) -> None:
        """on_chunk: Gets each chunk, and None at the end, in the core's loop. assignment: The variant that an experiment chose."""
        self.id = call_id
        self.request = request
        self.origin = origin
        self.assignment = assignment
        self.started_at = time.monotonic()
        self.first_text_at: float | None = None
        self.finished_at: float | None = None
        self.usage: Usage | None = None
        self.waiting = ""
        self.is_cancelled = False
        self.error: AimmError | None = None  # why it failed; None for what was answered, stopped or broke off
        self.cause: AimmError | None = None  # the same, also of what broke off
        self.done: Future[Generation] = Future()
        self.done.set_running_or_notify_cancel()  # whoever stops waiting for it must not cancel it for the others
        self._pieces: list[str] = []
        self._thinking: list[str] = []
        self._lock = threading.Lock()
        self._on_chunk = on_chunk
        self._tools: dict[int, list[ToolDelta]] = {}
        self.chunks: list[Chunk] | None = None  # all of them, where they are to be kept
        # Said at the end: our own share of the time; "model error" where another one answered; whether it was kept from before.
        self.overhead_s, self.fallback_from, self.is_hit = 0.0, "", False
        self.spent_before_usd: Decimal | None = Decimal(0)  # by models that failed before another one; None = not known
        # Said before the first piece: who answers, on which wire, at which price, and whose money it is.
        self.answered_by: Model | None = None
        self.wire, self.price_id = "", ""
        self.spender: Spender | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[str | None], None]] = []

    @property
    def text(self) -> str:
        with self._lock:
            return mended("".join(self._pieces))

    @property
    def thinking(self) -> str:
        with self._lock:
            return mended("".join(self._thinking))

    @property
    def has_output(self) -> bool:
        return bool(self._pieces or self._thinking or self._tools)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """What the model called for."""
        found = []
        for at in sorted(self._tools):
            deltas = self._tools[at]
            call_id, signature = (
                next((text for delta in deltas if (text := getattr(delta, name))), "") for name in ("id", "signature")
            )
            name, arguments = ("".join(getattr(delta, name) for delta in deltas) for name in ("name", "arguments"))
            found.append(ToolCall(call_id, name, mended(arguments), signature))
        return tuple(found)

    @property
    def written(self) -> str:
        """All that the model wrote: its text, and what it called tools with."""
        return self.text + "".join(called.name + called.arguments for called in self.tool_calls)

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
            self.error.generation_id, self.error.spent_before_usd = generation.id, self.spent_before_usd
            raise self.error
        return generation

    def cancel(self) -> None:
        """Stop: the vendor request is cancelled, what came is kept and recorded."""
        self.is_cancelled = True
        if self._loop is not None and not self.done.done():
            self._loop.call_soon_threadsafe(self._stop)

    def view(self) -> CallView:
        now = self.finished_at or time.monotonic()
        first = self.first_text_at
        return CallView(
            text=self.text,
            thinking=self.thinking,
            elapsed_s=now - self.started_at,
            ttft_s=None if first is None else first - self.started_at,
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
        """From now on `task` can be stopped, until `detach`."""
        self._task, self._loop = task, loop
        if self.is_cancelled:
            loop.call_soon(self._stop)

    def detach(self) -> None:
        """What follows must not be stopped: the call is recorded."""
        self._task = None

    def _stop(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()

    def feed(self, chunk: Chunk) -> None:
        with self._lock:
            if chunk.thinking:
                self._thinking.append(chunk.thinking)
            for delta in chunk.tools:
                self._tools.setdefault(delta.index, []).append(delta)
            if chunk.text or chunk.tools or chunk.vectors:
                if self.first_text_at is None:
                    self.first_text_at = time.monotonic()
                if chunk.text:
                    self._pieces.append(chunk.text)
                    for listener in self._listeners:
                        listener(chunk.text)
            self.usage = chunk.usage or self.usage
            self.waiting = ""
        if self.chunks is not None:
            self.chunks.append(chunk)
        if self._on_chunk is not None:
            self._on_chunk(chunk)

    def finish(self, result: Generation | AimmError) -> None:
        with self._lock:
            if isinstance(result, Generation):
                self.done.set_result(result)
            else:
                self.done.set_exception(result)
            for listener in self._listeners:
                listener(None)
            self._listeners.clear()
        if self._on_chunk is not None:
            self._on_chunk(None)


class Pipe:
    """Chunks from the core's loop to a reader on a loop, most often the same one. Give `put` to a call as its `on_chunk`."""

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
