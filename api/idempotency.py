"""A request with an Idempotency-Key is answered once: who asks again gets the first answer, byte for byte."""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.body import MAX_BODY_BYTES, Body
from api.errors import SPENT_BEFORE, CallerLeft
from api.gateway.exchange import BODY, Exchange
from api.gateway.registry import wire_of
from core import Conflict, InvalidRequest, ModelManager, NotFound, Overloaded
from core.formats import strict_json as json

HEADER = b"idempotency-key"
REPLAYED = (b"idempotent-replayed", b"true")
MAX_WAIT_S = 600.0
_UNWRITTEN = ("/api/keys", "/v1/images/", "/v1/audio/speech")  # keys and media: they are written nowhere
_TRANSACTIONAL = ("/record", "/feedback")  # these keep their answer in the transaction that does the work


class Idempotent:
    """In front of every POST that may spend or make something."""

    def __init__(self, app: ASGIApp, get_manager: Callable[[], ModelManager]) -> None:
        self._app = app
        self._get_manager = get_manager
        self._running: dict[tuple[str, str], asyncio.Event] = {}  # in this process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_named = scope["method"] == "POST" and any(
            name == HEADER and value.strip() for name, value in scope["headers"]
        )
        if not is_named or scope["path"].endswith(_TRANSACTIONAL):
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, wire_of(scope["path"], scope["headers"]))
        async with exchange.refusing():
            await self._once(exchange, scope)

    async def _once(self, exchange: Exchange, scope: Scope) -> None:
        """Raises: AimmError: It is not answered. CallerLeft."""
        mm, caller = self._get_manager(), exchange.key
        name = exchange.header(HEADER)
        if not (len(name) <= 255 and name.isascii() and name.isprintable()):
            raise InvalidRequest("An Idempotency-Key must have 1 to 255 printable ASCII characters.")
        body = await exchange.body(MAX_BODY_BYTES if exchange.wire is None else mm.settings.max_body_mib << 20)
        mine = (caller.id if caller is not None else "", name)
        answer = await self._claimed(exchange, mm, mine, await _digest(exchange, body))
        if answer is not None:
            status, headers, raw = answer
            await exchange.send({"type": "http.response.start", "status": status, "headers": [*headers, REPLAYED]})
            await exchange.send({"type": "http.response.body", "body": raw})
            return
        ended = self._running[mine] = asyncio.Event()
        try:
            await self._answer(exchange, {**scope, BODY: body}, mine)
        finally:
            if self._running.get(mine) is ended:  # another may have begun since this one gave up its claim
                del self._running[mine]
            ended.set()

    async def _claimed(
        self, exchange: Exchange, mm: ModelManager, mine: tuple[str, str], digest: str
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
        """The answer that there is; None = the request is to be answered here and now."""
        leaving = asyncio.ensure_future(exchange.gone())
        deadline, wait_s = asyncio.get_running_loop().time() + MAX_WAIT_S, 0.05
        try:
            while True:
                claim = await asyncio.to_thread(mm.requests.claim, *mine, digest)
                if claim.state == "mine":
                    return None
                if claim.state == "answered":
                    if claim.answer is None:
                        raise Conflict(
                            "This request was answered and charged; its answer is not kept, as no texts are to be."
                        )
                    return _unpacked(claim.answer)
                if leaving.done():
                    raise CallerLeft
                if asyncio.get_running_loop().time() > deadline:
                    raise Overloaded(
                        "The first request with this Idempotency-Key is still being answered.", retry_after_s=5
                    )
                running = self._running.get(mine)
                waits = [leaving, asyncio.ensure_future(running.wait() if running else asyncio.sleep(wait_s))]
                await asyncio.wait(waits, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                waits[1].cancel()
                wait_s = min(0.5, wait_s * 1.5)
        finally:
            leaving.cancel()

    async def _answer(self, exchange: Exchange, scope: Scope, mine: tuple[str, str]) -> None:
        """Let the request be answered, and keep that. Its caller may leave: who asks again finds the answer."""
        mm = self._get_manager()
        sent: list[Message] = []

        async def receiving() -> Message:
            await asyncio.Event().wait()
            raise CallerLeft

        async def sending(message: Message) -> None:
            sent.append(message)
            with suppress(OSError):
                await exchange.send(message)

        is_kept = False
        try:
            await self._app(scope, receiving, sending)
            if sent and not sent[-1].get("more_body", False) and len(sent) > 1:
                status, body = sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
                is_kept = status < 400 or await asyncio.to_thread(_was_charged, mm, sent[0], body)
                if is_kept:
                    packed = _packed(status, sent[0]["headers"], body)
                    is_written = _may_write(mm, exchange)
                    await asyncio.to_thread(mm.requests.keep, *mine, packed, is_written=is_written)
        finally:
            if not is_kept:
                await asyncio.to_thread(mm.requests.free, *mine)


async def _digest(exchange: Exchange, body: Body) -> str:
    """A digest of all that makes a request the same one: address, body, and the headers to the gateway."""
    hashed = hashlib.sha256()
    try:
        if body.is_on_disk:
            raise ValueError
        hashed.update(json.dumps(json.loads(body.read()), sort_keys=True).encode())
    except (ValueError, RecursionError):
        async for chunk in body.chunks():
            hashed.update(chunk)
    asked = sorted((name, value) for name, value in exchange.headers.items() if name.startswith(b"x-aimm-"))
    parts = [exchange.path.encode("utf-8", "surrogatepass"), exchange.query, repr(asked).encode()]
    digests = [*(hashlib.sha256(part).digest() for part in parts), hashed.digest()]
    return hashlib.sha256(b"\0".join(digests)).hexdigest()


def _may_write(mm: ModelManager, exchange: Exchange) -> bool:
    allowed = {mm.settings.log_content, (exchange.key.log_content if exchange.key is not None else None) or "full"}
    return allowed == {"full"} and not exchange.is_private and not exchange.path.startswith(_UNWRITTEN)


def _was_charged(mm: ModelManager, start: Message, body: bytes) -> bool:
    """True of a request that failed and has cost something, or may have."""
    headers = dict(start["headers"])
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = {}
    if not isinstance(found, dict):
        return False
    if "workflow" in found:
        return bool(found["workflow"]["total_cost"] != 0)
    if "comparison" in found:
        return any(result["cost"] != 0 for result in found["comparison"]["results"])
    if headers.get(SPENT_BEFORE.encode(), b"0") != b"0":
        return True
    generation_id = headers.get(b"x-aimm-request-id", b"").decode("latin-1") or found.get("generation_id") or ""
    try:
        return mm.log.get(str(generation_id)).may_have_cost
    except NotFound:
        return False


def _packed(status: int, headers: Any, body: bytes) -> bytes:
    lines = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]
    return json.encoded([status, lines]) + b"\n" + body


def _unpacked(answer: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    head, _, body = answer.partition(b"\n")
    status, lines = json.loads(head)
    return status, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines], body
