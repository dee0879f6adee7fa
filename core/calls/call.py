"""A call: who asks (Origin), what is sent (Route), and its handle, which is safe to use from any thread."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from core.calls.answer import Accumulator, Answerer
from core.domain.experiment import Assignment
from core.domain.generation import MAX_CACHE_S, MAX_FALLBACKS, Chunk, Generation, Request, Source, Usage
from core.domain.key import Key
from core.errors import AimmError
from core.formats.text import MAX_TAGS, is_storable, make_lists, tags_problem

OnChunk = Callable[[Chunk | None], None]
# Who an experiment assigns to a variant: a user, a session, a request. An assignment that was made before is kept.
Unit = str | Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The caller of a model and what it is for. ref_id, ref_part, user_id, key_id, tags: see Generation.

    ref_name: `workflow:` or `experiment:` with its name.
    cap_usd: What this call may cost at most.
    key: With which key it was asked for.
    fallbacks: Models that answer, in this order, where the one asked for fails.
    cache_s: For how long its response may be cached; 0 = not at all, None = not said.
    is_private: Keep no text of it.
    is_permitted: The key's rules need no second look: they were applied to the alias, experiment or comparison that
        this call is made for.
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
        """The first thing that is wrong with it, in words; empty = nothing."""
        if len(self.user_id) > 500 or not is_storable(self.user_id):
            return "user must have at most 500 characters, and no NUL or half of a surrogate pair"
        if len(self.fallbacks) > MAX_FALLBACKS:
            return f"{len(self.fallbacks)} fallbacks given, at most {MAX_FALLBACKS} are taken"
        if self.cache_s is not None and not 0 <= self.cache_s <= MAX_CACHE_S:
            return f"cache_s == {self.cache_s}, must be 0 to {MAX_CACHE_S:,} seconds"
        return tags_problem(self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A request as it is sent.

    assignment: The variant that an experiment chose; None = none did.
    shadows: (position, request) of what is asked beside it and never returned.
    """

    request: Request
    origin: Origin
    assignment: Assignment | None = None
    shadows: tuple[tuple[int, Request], ...] = ()

    def shadow_origin(self, position: int, call_id: str) -> Origin:
        """The origin of a shadow's call, by which it is found beside what was served."""
        part = f"shadow:{position}:{call_id}"
        tags = tuple(dict.fromkeys((*self.origin.tags[: MAX_TAGS - 1], "shadow")))
        return replace(self.origin, ref_part=part, tags=tags, fallbacks=(), cache_s=0)


class Router(Protocol):
    """The part of a feature that decides who answers: aliases, experiments, rollouts."""

    def is_quick(self, request: Request) -> bool:
        """Tell whether `route` can answer at once, without the database."""
        ...

    def at_target(self, request: Request) -> Request:
        """The request as the target of its alias is sent it, for what is no call and assigns nobody."""
        ...

    def route(self, request: Request, origin: Origin, unit: Unit, force: str | int | None) -> Route:
        """The route of a request. force: A variant for trying it out; it is served and not counted.

        Raises:
            AimmError: The name asked for stands for nothing, or nothing that takes this request.
        """
        ...


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
        """Describe a call that has not begun.

        on_chunk: Gets each chunk, and None at the end, in the core's loop.
        assignment: An experiment's choice.
        """
        self.id = call_id
        self.request = request
        self.origin = origin
        self.assignment = assignment
        self.state = Accumulator()  # changed by the engine alone
        self.cause: AimmError | None = None  # why it is not answered in full
        self.done: Future[Generation] = Future()
        self.done.set_running_or_notify_cancel()  # whoever stops waiting for it must not cancel it for the others
        self._lock = threading.Lock()
        self._on_chunk = on_chunk
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[str | None], None]] = []

    @property
    def answerer(self) -> Answerer:
        """The model that answers, as far as that is known."""
        return self.state.answerer

    @property
    def is_cancelled(self) -> bool:
        return self.state.is_stopped

    @property
    def error(self) -> AimmError | None:
        """The error of a call that failed; None of what was answered, stopped or broke off."""
        is_failed = self.done.done() and not self.done.exception() and self.done.result().status in ("error", "blocked")
        return self.cause if is_failed else None

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
        error = self.error
        if error is not None:
            error.generation_id, error.spent_before_usd = generation.id, self.answerer.spent_before_usd
            raise error
        return generation

    def cancel(self) -> None:
        """Stop: the vendor request is cancelled, what came is kept and recorded."""
        self.state.is_stopped = True
        if self._loop is not None and not self.done.done():
            self._loop.call_soon_threadsafe(self._stop)

    def view(self) -> CallView:
        state = self.state
        with self._lock:
            text, thinking = state.text, state.thinking
        return CallView(
            text=text,
            thinking=thinking,
            elapsed_s=state.elapsed_s(),
            ttft_s=state.ttft_s(),
            usage=state.usage,
            waiting=state.waiting,
            is_done=self.done.done(),
        )

    def listen(self, listener: Callable[[str | None], None]) -> None:
        """Call `listener` with all text so far, then with each chunk's, then with None; from the core's thread."""
        with self._lock:
            if text := self.state.text:
                listener(text)
            if self.done.done():
                listener(None)
            else:
                self._listeners.append(listener)

    async def texts(self) -> AsyncIterator[str]:
        """The text as it comes, for a caller with an event loop of its own; it ends with the call."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def put(text: str | None) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, text)

        self.listen(put)
        while (text := await queue.get()) is not None:
            yield text

    # The engine's side

    def attach(self, task: "asyncio.Task[None]", loop: asyncio.AbstractEventLoop) -> None:
        """From now on `task` can be stopped, until `detach`."""
        self._task, self._loop = task, loop
        if self.is_cancelled:
            loop.call_soon(self._stop)

    def detach(self) -> None:
        """From now on it cannot be stopped: it is recorded."""
        self._task = None

    def _stop(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()

    def feed(self, chunk: Chunk) -> None:
        """Take a chunk in, and hand it to those who wait for it."""
        with self._lock:
            self.state.add(chunk)
            if chunk.text:
                for listener in self._listeners:
                    listener(chunk.text)
        if self._on_chunk is not None:
            self._on_chunk(chunk)

    def finish(self, result: Generation | AimmError, cause: AimmError | None = None) -> None:
        """Say what was recorded, or why nothing was. cause: Why what was recorded is no whole answer."""
        self.cause = cause
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
