"""The part of an answer that all wires share: start the call, hand on its chunks, tell at the end what it cost."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from api.errors import SPENT_BEFORE, CallerLeft, limit_headers, spent_before
from core import AimmError, Call, Chunk, Generation, ModelManager, Origin, Pipe, Request, errors
from core.domain.operation import ADDRESS_OF
from core.formats.strict_json import encoded

if TYPE_CHECKING:
    from api.gateway.exchange import Exchange


PING_S = 15.0
MINUTE_S = 60.0  # after which a sliding window is free again
_EVENTS = "text/event-stream"
_HANDED_ON = frozenset(ADDRESS_OF) - {"text_completion"}


class Answer(Protocol):
    """An answer as a wire writes it.

    has_comments: Whether its clients can read comments in a stream.
    ping: An event that keeps a stream alive and says nothing; empty = the wire has none.
    """

    has_comments: bool
    ping: bytes

    def chunk(self, chunk: Chunk, call: Call) -> bytes: ...
    def end(self, g: Generation, call: Call, *, was_raw: bool) -> bytes: ...
    def done(self) -> bytes: ...
    def whole(self, g: Generation, call: Call, chunks: list[Chunk]) -> bytes: ...
    def error_event(self, raw: bytes) -> bytes: ...


Keep = Callable[[Generation, Call, bytes], Awaitable[None]]


async def respond(
    exchange: "Exchange",
    mm: ModelManager,
    request: Request,
    origin: Origin,
    answer: Answer,
    keep: Keep | None = None,
) -> None:
    """Answer a request. A caller who leaves stops the call; what came is recorded.

    keep: Is awaited once the answer is whole, with its bytes if it is no stream, before its caller hears of that.

    Raises:
        AimmError: Nothing was sent yet. CallerLeft.
    """
    if exchange.plans:  # a line of a batch, whose turn comes later
        exchange.planned = request, origin, answer, keep
        return
    pipe = Pipe()
    call = await mm.asubmit(request, origin, unit=origin.user_id, on_chunk=pipe.put)
    leaving = asyncio.ensure_future(exchange.gone())
    leaving.add_done_callback(lambda _: call.cancel())
    headers = CallHeaders(mm, call)
    try:
        if call.request.operation in _HANDED_ON:
            await _handed_on(exchange, pipe, answer, headers, leaving)
        elif request.is_streamed:
            await _stream(exchange, pipe, answer, headers, leaving, keep)
        else:
            await _whole(exchange, pipe, answer, headers, leaving, keep)
    except AimmError as error:
        if exchange.has_begun:
            raise
        theirs = error.upstream.headers if error.upstream is not None and headers.is_quoted else {}
        await exchange.refuse(error, {**headers.at_end(), **theirs}, call)
    finally:
        leaving.cancel()


async def _whole(
    exchange: "Exchange",
    pipe: Pipe,
    answer: Answer,
    headers: "CallHeaders",
    leaving: "asyncio.Future[None]",
    keep: Keep | None,
) -> None:
    call = headers.call
    chunks: list[Chunk] = []
    while (chunk := await pipe.get()) is not None:
        chunks.append(chunk)
    g = answered(call, has_left=leaving.done())
    raw = whole(answer, g, call, chunks)
    if keep is not None:
        await keep(g, call, raw)
    await exchange.answer(200, raw, headers.at_end(g))


async def count(exchange: "Exchange", mm: ModelManager, request: Request, origin: Origin, **more: Any) -> None:
    """Answer with the input tokens of a request, estimated where its vendor counts none: programs decide by the number
    when to shorten a conversation. more: What the answer says besides."""
    n, is_counted = await asyncio.to_thread(mm.calls.count_tokens, request, origin, estimates=True)
    headers = {} if is_counted else {"x-aimm-estimated": "input_tokens"}
    await exchange.answer(200, encoded({**more, "input_tokens": n}), headers)


def whole(answer: Answer, g: Generation, call: Call, chunks: list[Chunk]) -> bytes:
    """The bytes of an answer: its vendor's own where they came in one."""
    raws = [chunk.raw for chunk in chunks if chunk.raw is not None]
    return raws[0] if len(raws) == 1 else answer.whole(g, call, chunks)


async def _handed_on(
    exchange: "Exchange", pipe: Pipe, answer: Answer, headers: "CallHeaders", leaving: "asyncio.Future[None]"
) -> None:
    """Hand on what is not read here, in its own type: as it comes, or whole with its cost where it came so."""
    whole, kind = Chunk(), ""
    while (chunk := await pipe.get()) is not None:
        if chunk.raw is None:
            continue
        is_whole = chunk.finish_reason is not None and not chunk.content_type.startswith(_EVENTS)
        if is_whole and not exchange.has_begun:
            whole = chunk
            continue
        if not exchange.has_begun:
            kind = chunk.content_type
            await exchange.begin(200, kind.encode(), {"cache-control": "no-cache", **headers.at_start()})
        await exchange.write(chunk.raw)
    try:
        g = answered(headers.call, has_left=leaving.done())
    except AimmError as error:
        if not exchange.has_begun:
            raise
        if kind.startswith(_EVENTS):
            await exchange.write(answer.error_event(exchange.form(error, headers.call)[1]), more=False)
            return
        raise CallerLeft from None  # without its end, which says that this was all
    if exchange.has_begun:
        await exchange.write(b"", more=False)
    else:
        await exchange.answer(200, whole.raw or b"", headers.at_end(g), whole.content_type.encode() or b"text/plain")


async def _stream(
    exchange: "Exchange",
    pipe: Pipe,
    answer: Answer,
    headers: "CallHeaders",
    leaving: "asyncio.Future[None]",
    keep: Keep | None,
) -> None:
    call, was_raw = headers.call, False
    while (chunk := await _next(exchange, pipe, answer.ping if not was_raw else b"")) is not None:
        was_raw = was_raw or chunk.raw is not None
        if written := answer.chunk(chunk, call):
            if not exchange.has_begun:
                await exchange.begin_stream(headers.at_start())
            await exchange.write(written)
    try:
        g = answered(call, has_left=leaving.done())
    except AimmError as error:
        if not exchange.has_begun:
            raise
        _, raw = exchange.form(error, call)
        await exchange.write(headers.comment(answer) + answer.error_event(raw), more=False)
        return
    if not exchange.has_begun:
        await exchange.begin_stream(headers.at_end(g))
    last = answer.end(g, call, was_raw=was_raw) + headers.comment(answer, g) + answer.done()
    if keep is not None:
        await keep(g, call, b"")
    await exchange.write(last, more=False)


async def _next(exchange: "Exchange", pipe: Pipe, ping: bytes) -> Chunk | None:
    """The next chunk. Meanwhile the caller of a stream that has begun hears that it is not dead."""
    if not ping or not exchange.has_begun:
        return await pipe.get()
    getting = asyncio.ensure_future(pipe.get())
    try:
        while not (await asyncio.wait({getting}, timeout=PING_S))[0]:
            await exchange.write(ping)
        return getting.result()
    finally:
        getting.cancel()


def answered(call: Call, *, has_left: bool) -> Generation:
    """The record of an answer. A vendor that filtered its answer has answered: the finish reason says so.

    Raises:
        AimmError: There is none, or it broke off. CallerLeft: the caller did; else the server has stopped the call.
    """
    if call.is_cancelled and (call.done.exception(0) is not None or call.result(0).status == "stopped"):
        raise CallerLeft if has_left else errors.ProviderUnavailable("The server is stopping.")
    g = call.result(0)
    if (error := failure_of(g, call)) is not None:
        raise error
    return g


def failure_of(g: Generation, call: Call) -> AimmError | None:
    """The reason why a recorded call is no answer."""
    if g.status == "truncated" and g.finish_reason is None:
        if call.cause is not None and call.cause.upstream is not None:
            return call.cause
        return errors.ProviderError(f"The answer broke off before its end; what came is recorded as {g.id}.")
    if g.status not in ("error", "blocked") or (g.status == "blocked" and g.finish_reason == "content_filter"):
        return None
    error = call.cause
    if error is not None:
        error.generation_id, error.spent_before_usd = g.id, call.answerer.spent_before_usd
    return error


class CallHeaders:
    """The headers of a call: at its start those that are known by then, at its end all."""

    def __init__(self, mm: ModelManager, call: Call) -> None:
        self.call = call
        self._mm = mm

    @property
    def is_quoted(self) -> bool:
        """True where the caller speaks the vendor's wire, and can read what it says itself."""
        native = self.call.request.native
        return native is not None and native.wire in self.call.answerer.wires

    def at_start(self) -> dict[str, str]:
        call, who = self.call, self.call.answerer
        found = {"x-aimm-request-id": call.id}
        if who.model is not None:
            found |= {"x-aimm-model": who.model.name, "x-aimm-provider": who.model.provider}
        if who.price_id:
            found["x-aimm-price-id"] = who.price_id
        if call.assignment is not None:
            found["x-aimm-variant"] = call.assignment.variant.key
            found["x-aimm-assignment"] = call.assignment.id
        if self.is_quoted:
            found |= call.state.told
        for room in call.state.taken.rooms:  # the caller's own limits come before the vendor's
            found |= limit_headers(room.kind, room.most, room.left, MINUTE_S)
        if call.state.ignored:
            found["x-aimm-ignored"] = call.state.ignored[:1000]
        if who.fallback_from:
            found["x-aimm-fallback"] = who.fallback_from
            found[SPENT_BEFORE] = spent_before(who.spent_before_usd)
        if call.origin.cache_s:
            found["x-aimm-cache"] = "hit" if who.is_hit else "miss"
        found |= self._of_characters()
        found["x-aimm-overhead-ms"] = f"{1e3 * call.state.overhead_s:.2f}"
        return _clean(found | self._budget())

    def at_end(self, g: Generation | None = None) -> dict[str, str]:
        if g is None and self.call.done.done() and self.call.done.exception() is None:
            g = self.call.result(0)
        found = self.at_start()
        if g is not None:
            found |= {"x-aimm-model": g.model, "x-aimm-provider": g.provider, "x-aimm-cost-status": g.cost_status}
            if g.cost_usd is not None:
                found["x-aimm-cost-usd"] = f"{g.cost_usd:f}"
            if g.price_id:
                found["x-aimm-price-id"] = g.price_id
            if g.saved_usd:
                found["x-aimm-saved-usd"] = f"{g.saved_usd:f}"
        return _clean(found)

    def comment(self, answer: Answer, g: Generation | None = None) -> bytes:
        """The headers that are known only at the end of a stream, as a comment, which clients pass over.

        It is a line of the event that follows: some clients take one that stands alone for an event without data.
        """
        if not answer.has_comments:
            return b""
        return (": " + " ".join(f"{name}={value}" for name, value in self.at_end(g).items()) + "\n").encode()

    def _of_characters(self) -> dict[str, str]:
        """The cost of speech that is charged by what is read aloud: it is known before the first sound."""
        state, model = self.call.state, self.call.answerer.model
        characters = state.usage.more.get("characters") if state.usage is not None else None
        if not characters or model is None:
            return {}
        price = self._mm.prices.price(model.provider, model.name, state.created_at, state.service_tier)
        usd = price.fee(units={"characters": characters}) if price is not None and price.is_by_unit else None
        return {"x-aimm-cost-status": "unknown"} if usd is None else {"x-aimm-cost-usd": f"{usd:f}"}

    def _budget(self) -> dict[str, str]:
        left = self._mm.budgets.left_for(spender) if (spender := self.call.answerer.spender) else None
        return {} if left is None else {"x-aimm-budget-remaining-usd": f"{left:f}"}


def _clean(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if value and value.isascii() and value.isprintable()}
