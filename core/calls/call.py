"""A call: its handle, which is safe to use from any thread, its state while it runs, and the answer that this makes."""

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from core import clock
from core.calls.faults import failure_of, is_billable
from core.calls.limits import FREE, Pass
from core.calls.origin import Origin
from core.calls.view import CallView
from core.domain.budget import Spender
from core.domain.experiment import Assignment
from core.domain.generation import Chunk, FinishReason, Generation, Model, Request, Status, ToolDelta, Usage
from core.domain.message import ToolCall
from core.domain.operation import WRITING
from core.errors import AimmError, Blocked, ProviderError
from core.formats.text import mended
from core.pricing.tokens import at_least
from core.providers.base import Provider

OnChunk = Callable[[Chunk | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """The model that answers a call and who pays for it, as far as that is known before the first chunk.

    wires: The vendor's.
    price_id: Of the usual price.
    spender: The one whose budgets pay.
    fallback_from: "model error" of the model that should have answered; empty = it does.
    spent_before_usd: What models cost that failed before; None = not known.
    is_hit: The answer is a cached response.
    """

    model: Model | None = None
    wires: tuple[str, ...] = ()
    price_id: str = ""
    spender: Spender | None = None
    fallback_from: str = ""
    spent_before_usd: Decimal | None = Decimal(0)
    is_hit: bool = False


class Call:
    """The handle of one call. `done` is set once its row is durable."""

    def __init__(
        self, request: Request, origin: Origin, on_chunk: OnChunk | None = None, assignment: Assignment | None = None
    ) -> None:
        """Describe a call that has not begun.

        on_chunk: Gets each chunk, and None at the end, in the core's loop.
        assignment: An experiment's choice.
        """
        self.id = new_id()
        self.request = request
        self.origin = origin
        self.assignment = assignment
        self.state = Accumulator(writes=request.operation in WRITING)  # changed by the engine alone
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

    def answers(self, generation: Generation) -> list[Generation]:
        """The answers to it: the one that is recorded, and where several were asked for, the others."""
        names = ("text", "thinking", "tool_calls", "finish_reason")
        others = (self.state.others[at] for at in sorted(self.state.others))
        return [generation, *(replace(generation, **{n: getattr(other, n) for n in names}) for other in others)]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """The answer of one model, whole, in part or none, and what may be billed for it. Times in seconds.

    deployment: Of the provider.
    error: Why there is no whole answer.
    is_stopped: Its caller stopped it.
    is_waiting: It lay between two attempts then.
    usages: The vendor's count of each attempt.
    is_undercounted: The answer went on after the last count.
    lost: Our own estimate of attempts that may be billed, sent no count, and were followed by another.
    causes: Why attempts failed.
    notes: What became of the call on its way.
    vendor_s, waited_s: How long vendors had the request, and how long it lay waiting; the rest is our own.
    """

    created_at: datetime
    provider: str
    deployment: str
    model: Model | None
    text: str
    thinking: str
    tool_calls: tuple[ToolCall, ...]
    has_output: bool
    finish_reason: FinishReason | None
    reason: str | None
    response_model: str | None
    service_tier: str
    usages: tuple[Usage, ...]
    lost: tuple[Usage, ...]
    is_undercounted: bool
    is_hit: bool
    n_attempts: int
    causes: tuple[str, ...]
    notes: tuple[str, ...]
    latency_s: float
    ttft_s: float | None
    vendor_s: float
    waited_s: float
    is_stopped: bool
    is_waiting: bool
    error: AimmError | None

    @property
    def written(self) -> str:
        """All that the model wrote: its text, and what it called tools with."""
        return self.text + _called_with(self.tool_calls)

    @property
    def overhead_s(self) -> float:
        """Our own share of the time."""
        return max(0.0, self.latency_s - self.vendor_s - self.waited_s)

    @property
    def outcome(self) -> tuple[Status, AimmError | None]:
        """The status of the answer, and why it is no whole one."""
        if self.is_stopped and self.finish_reason is None and self.error is None:
            return "stopped", None
        if self.finish_reason == "content_filter":
            category = self.reason or "content_filter"
            return "blocked", Blocked(f"The vendor blocked this: {category}.", category=category)
        if isinstance(self.error, Blocked):
            return "blocked", self.error
        if (failed := failure_of(self.finish_reason, self.reason, has_output=self.has_output)) is not None:
            return "truncated", failed
        if self.finish_reason is not None:
            return "ok", None  # whole, whatever happened to the connection afterwards
        if self.error is not None:
            return "truncated" if self.text or self.tool_calls else "error", self.error
        return "truncated", ProviderError("The stream broke off before its end.")

    @property
    def may_be_billed(self) -> bool:
        """True if a call without any count may have cost something; unknown is not zero.

        A refusal and a vendor that was never reached cost nothing; a time-out and an answer that broke, was empty or
        could not be read may well be billed.
        """
        if not self.n_attempts:
            return False
        status, error = self.outcome
        if self.has_output or status == "ok":
            return True
        if status == "stopped":
            return not self.is_waiting  # between two attempts nothing is under way
        return is_billable(error)


_TAKEN = (  # over from an accumulator as they are
    "created_at", "model", "text", "thinking", "tool_calls", "has_output", "finish_reason", "reason", "response_model",
    "service_tier", "is_undercounted", "n_attempts", "vendor_s", "waited_s", "is_stopped",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Accumulator:
    """The state of a running call, and its one owner: who is asked, what has come so far, what it may cost.

    See ModelAnswer for the other fields.

    is_bound: No other deployment may answer.
    heard_at: When the last chunk came, monotonic. is_stalled: It was silent for most of its time, in the midst of text.
    waiting: The reason why nothing happens just now.
    digest: The name by which the answer may be cached.
    chunks: All of them, where they are to be cached.
    ignored: The parts of the request that the model is not told.
    told: The vendor's headers of its rate limit.
    taken: What it took of the limits of its key.
    writes: Its answer is text, which is charged by the token.
    others: Where several answers were asked for, those beside the first.
    """

    started_at: float = field(default_factory=time.monotonic)
    created_at: datetime = field(default_factory=clock.now)
    finished_at: float | None = None
    answerer: Answerer = Answerer()
    provider: Provider | None = None
    model: Model | None = None
    is_bound: bool = False
    heard_at: float = 0.0
    is_stalled: bool = False
    waiting: str = ""
    is_stopped: bool = False
    digest: str = ""
    chunks: list[Chunk] | None = None
    ignored: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    taken: Pass = FREE
    writes: bool = True
    usage: Usage | None = None
    first_text_at: float | None = None
    finish_reason: FinishReason | None = None
    reason: str | None = None
    response_model: str | None = None
    service_tier: str = "standard"
    is_undercounted: bool = False
    n_attempts: int = 0
    usages: list[Usage] = field(default_factory=list)
    lost: list[Usage] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    vendor_s: float = 0.0
    waited_s: float = 0.0
    overhead_s: float = 0.0
    _texts: list[str] = field(default_factory=list)
    _thoughts: list[str] = field(default_factory=list)
    _tools: dict[int, list[ToolDelta]] = field(default_factory=dict)
    _counted: Usage | None = None  # by the attempt under way
    _is_outgrown: bool = False
    others: "dict[int, Accumulator]" = field(default_factory=dict)
    _has_passed: bool = False  # bytes that are nobody's text

    @property
    def text(self) -> str:
        return mended("".join(self._texts))

    @property
    def thinking(self) -> str:
        return mended("".join(self._thoughts))

    @property
    def has_output(self) -> bool:
        return bool(self._texts or self._thoughts or self._tools or self._has_passed or self.others)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that the model made."""
        found = []
        for at in sorted(self._tools):
            deltas = self._tools[at]
            call_id, signature = (
                next((text for delta in deltas if (text := getattr(delta, name))), "") for name in ("id", "signature")
            )
            name, arguments = ("".join(getattr(delta, name) for delta in deltas) for name in ("name", "arguments"))
            found.append(ToolCall(call_id, name, mended(arguments), signature))
        return tuple(found)

    def turn_to(self, provider: Provider, model: Model, *, is_bound: bool = False) -> None:
        """Turn to a model: the first, a fallback, or the one of a downgrade; or to another deployment of it."""
        self.provider, self.model, self.is_bound = provider, model, is_bound
        self.answerer = replace(self.answerer, model=model, wires=provider.wires)

    def fall_back(self, note: str) -> None:
        """Begin anew for the next model; what was spent in time and money before stays known."""
        self.created_at, self.provider, self.model, self.digest = clock.now(), None, None, ""
        self.usage, self.finish_reason, self.reason, self.response_model = None, None, None, None
        self.service_tier, self.is_undercounted, self.n_attempts = "standard", False, 0
        self.usages, self.lost, self.causes, self.notes = [], [], [], [note]

    def begin_attempt(self) -> None:
        self.n_attempts += 1
        self.waiting = ""
        self.overhead_s = time.monotonic() - self.started_at - self.vendor_s - self.waited_s
        self.finish_reason = self.reason = self._counted = None
        self._is_outgrown = False

    def add(self, chunk: Chunk) -> None:
        """Take a chunk in."""
        if self.chunks is not None:
            self.chunks.append(chunk)
        if chunk.choice:
            return self.others.setdefault(chunk.choice, Accumulator()).add(replace(chunk, choice=0))
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.reason = chunk.reason or self.reason
        self.response_model = chunk.response_model or self.response_model
        self.service_tier = chunk.service_tier or self.service_tier
        if chunk.usage is not None:
            self.usage, self._counted, self._is_outgrown = chunk.usage, chunk.usage, False
        elif chunk.text or chunk.thinking or chunk.tools:
            self._is_outgrown = True
        if chunk.thinking:
            self._thoughts.append(chunk.thinking)
        for delta in chunk.tools:
            self._tools.setdefault(delta.index, []).append(delta)
        if chunk.text:
            self._texts.append(chunk.text)
        if chunk.media:
            self.notes.append(f"The answer is {chunk.media}, which is not kept.")
        self._has_passed = self._has_passed or bool(chunk.content_type)
        if self.first_text_at is None and (chunk.text or chunk.tools or chunk.vectors or chunk.content_type):
            self.first_text_at = time.monotonic()
        return None

    def end_attempt(self) -> None:
        """Note the attempt's usage: no less than what came, where the vendor's count did not see all of it."""
        usage = self._counted
        if usage is None:
            return
        written = self.text + _called_with(self.tool_calls) if self.writes else ""
        if (self.writes and self._is_outgrown) or (written and usage.output_tokens == usage.thinking_tokens):
            usage, self.is_undercounted = at_least(usage, written, self.thinking), True
        self.usages.append(usage)

    def elapsed_s(self) -> float:
        return (self.finished_at or time.monotonic()) - self.started_at

    def ttft_s(self) -> float | None:
        return None if self.first_text_at is None else self.first_text_at - self.started_at

    def answer(self, error: AimmError | None) -> ModelAnswer:
        """The answer as it stands. error: Why it goes no further."""
        taken: dict[str, Any] = {name: getattr(self, name) for name in _TAKEN}
        taken |= {name: tuple(getattr(self, name)) for name in ("usages", "lost", "causes", "notes")}
        return ModelAnswer(
            **taken,
            provider=self.provider.name if self.provider else "unknown",
            deployment=self.provider.deployment if self.provider else "",
            is_hit=self.answerer.is_hit,
            latency_s=self.elapsed_s(),
            ttft_s=self.ttft_s(),
            is_waiting=bool(self.waiting),
            error=error,
        )


def _called_with(tool_calls: tuple[ToolCall, ...]) -> str:
    return "".join(called.name + called.arguments for called in tool_calls)


def new_id() -> str:
    return f"g_{clock.now_us():x}{secrets.token_hex(5)}"
