"""One HTTP exchange in plain ASGI: the body, an answer whole or in chunks, a caller who leaves."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from api.body import MAX_BODY_BYTES, Body, drain, read_body
from api.errors import CallerLeft, Unexpected, plain_error, reason_headers
from core import AimmError, Call, InvalidRequest, Key, TooLarge
from core.formats import strict_json as json

if TYPE_CHECKING:
    from api.gateway.respond import Answer, Keep
    from api.gateway.wire import Wire
    from core import Origin, Request

    Plan = tuple[Request, Origin, Answer, Keep | None]

KEY = "aimm.key"  # of a scope: the caller's Key, or None where none is needed
BODY = "aimm.body"  # of a scope: its Body, where that was read already
REQUEST_ID = "x-aimm-request-id"
JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"


class Exchange:
    """A request and its answer.

    wire: The one that it came over; None = an address that is no wire's.
    plans: What it asks is only to be known, not to be asked; then `planned` says it.
    """

    plans = False

    def __init__(self, scope: Scope, receive: Receive, send: Send, wire: "Wire | None" = None) -> None:
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.query: bytes = scope.get("query_string", b"")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.key: Key | None = scope.get(KEY)
        self.wire = wire
        self.has_begun = False
        self.planned: Plan | None = None
        self._receive = receive
        self._send = send
        self._body: Body | None = scope.get(BODY)
        self._is_cut_short = False  # its caller is still sending a body that nobody will read
        self._is_read_again = False

    def header(self, name: bytes) -> str:
        """The value of a header, in lower case written; empty = there is none."""
        return self.headers.get(name, b"").decode("latin-1").strip()

    @property
    def is_private(self) -> bool:
        """True where no text of this request is to be kept."""
        return self.header(b"x-aimm-no-store").lower() in ("1", "true", "yes")

    @property
    def is_form(self) -> bool:
        return self.header(b"content-type").lower().startswith("multipart/")

    async def json(self) -> dict[str, Any]:
        """The body's JSON object; each text in it can be kept.

        Raises:
            InvalidRequest, TooLarge; CallerLeft.
        """
        raw = (await self.body()).read()
        try:
            value = json.loads(raw)
        except json.JSONDecodeError as error:
            raise InvalidRequest(f"The body is not JSON: {error.msg[:100]}.") from None
        # JSON holds no such character but by an escape.
        if b"\\u" in raw and (problem := json.problem_of(value)):
            raise InvalidRequest(problem)
        if not isinstance(value, dict):
            raise InvalidRequest("The body must be a JSON object.")
        return value

    async def body(self, most: int = MAX_BODY_BYTES) -> Body:
        """The body, whole; read once. most: Its bytes at most. Raises: InvalidRequest, TooLarge; CallerLeft."""
        if self._body is None:
            try:
                self._body = await read_body(self._receive, self.headers.get(b"content-length", b"0"), most)
            except TooLarge:
                self._is_cut_short = True
                raise
        return self._body

    async def again(self) -> Message:
        """The body that was read, for an application that reads it itself; then whether the caller leaves."""
        if self._is_read_again:
            return await self._receive()
        self._is_read_again = True
        return {"type": "http.request", "body": self._body.read() if self._body else b"", "more_body": False}

    async def gone(self) -> None:
        """Returns when the caller has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def send(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)

    async def begin(self, status: int, content_type: bytes, headers: Mapping[str, str]) -> None:
        lines = [(b"content-type", content_type)]
        if content_type.startswith(b"text/event-stream"):
            lines.append((b"x-accel-buffering", b"no"))  # nginx as it comes would keep chunks back
        request_id = headers.get(REQUEST_ID, "")
        if not request_id:  # there is no call whose id it could be
            request_id = f"r_{secrets.token_hex(10)}"
            lines.append((REQUEST_ID.encode(), request_id.encode()))
        if self.wire is not None and self.wire.id_header:
            lines.append((self.wire.id_header, request_id.encode()))
        lines += [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": lines})

    async def begin_stream(self, headers: Mapping[str, str]) -> None:
        """Begin an answer of server-sent events."""
        await self.begin(200, EVENTS, {"cache-control": "no-cache", **headers})

    async def write(self, chunk: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def answer(
        self, status: int, raw: bytes, headers: Mapping[str, str] | None = None, content_type: bytes = JSON
    ) -> None:
        """A whole answer."""
        await self.begin(status, content_type, {**(headers or {}), "content-length": str(len(raw))})
        if self._is_cut_short:
            await self.write(raw)
            await drain(self._receive)
        await self.write(b"" if self._is_cut_short else raw, more=False)

    def form(self, error: AimmError, call: "Call | None" = None) -> tuple[int, bytes]:
        """The status and the body of an error, in the form that this caller reads. call: The one that failed."""
        return error_form(self.wire, error, call)

    async def refuse(
        self, error: AimmError, headers: Mapping[str, str] | None = None, call: "Call | None" = None
    ) -> None:
        await self.answer(*self.form(error, call), {**(headers or {}), **reason_headers(error)})

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Answer with the error that is raised within, unless an answer has begun."""
        try:
            yield
        except CallerLeft:
            pass
        except Exception as caught:
            if not self.has_begun:
                await self.refuse(caught if isinstance(caught, AimmError) else Unexpected(caught))
            elif not isinstance(caught, AimmError):
                raise


def error_form(wire: "Wire | None", error: AimmError, call: "Call | None" = None) -> tuple[int, bytes]:
    """The status and the body of an error, in the form that callers of a wire read. call: The one that failed."""
    if wire is None:
        return plain_error(error)
    return wire.error(error, call is not None and wire.name in call.answerer.wires)
