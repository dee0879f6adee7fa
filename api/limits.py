"""HTTP/1.1 as uvicorn serves it, with limits on what is not a body: request heads, chunk extensions, trailers.

uvicorn and its parser would keep a head of any size, for any time, before an application hears of it; and a connection
for as long as somebody sends a body that has been answered, or does not take an answer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import Unserved
from api.gateway.exchange import error_form
from api.gateway.registry import wire_of

MAX_HEAD_BYTES = 64 * 1024  # request line and headers; as much for the framing of one chunk, and for the trailers
MAX_HEADERS = 256
MAX_PIPELINED = 16  # requests that wait behind the one being answered
HEAD_TIMEOUT_S = 20.0  # from the first byte of a head to its last; and from the connection to its first byte
LINGER_S = 10.0  # a client that is still sending would see a reset connection, not the answer
STALL_S = 60.0  # how long a client may take nothing of an answer that waits for it
SLICE_BYTES = 16 * 1024

_TEXTS = {
    400: "This is not a valid HTTP request.",
    408: f"The head of the request did not come within {HEAD_TIMEOUT_S:g} s.",
    414: f"The address is too long: the request line and the headers may have {MAX_HEAD_BYTES:,} bytes in all.",
    431: f"The headers are too large: at most {MAX_HEADERS} headers and {MAX_HEAD_BYTES:,} bytes are taken.",
}


class LimitedProtocol(HttpToolsProtocol):
    """Answers 400, 408, 414 or 431 itself and closes the connection.

    _in_head: Between requests or in a head; _has_begun: in one.
    _n_framing: Bytes since a head, a chunk's head or a part of a body was last complete.
    _held: Bytes behind too many pipelined requests, parsed when those are answered.
    _refused: The status to answer with; nothing more is parsed then.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._n_framing = self._n_trailer_bytes = 0
        self._in_head, self._has_begun, self._is_chunked = True, False, False
        self._held = b""
        self._refused = 0
        self._has_upgraded = False
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._go_on()
        self._unset_keepalive_if_required()  # else it would hold all of this until it is over
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not (self._refused or self._has_upgraded or self.transport.is_closing()):
            if self._held or len(self.pipeline) >= MAX_PIPELINED:
                self._held += data[at:]
                self.flow.pause_reading()
                return
            end = at + SLICE_BYTES if self._in_head or self._is_chunked else len(data)
            self._parse(data[at:end])
            at = end

    def handle_websocket_upgrade(self) -> None:
        self._has_upgraded = True
        self._disarm()  # no other head will come
        super().handle_websocket_upgrade()

    def _should_upgrade(self) -> bool:
        """Wires know no WebSocket: who tries one first, and does so each time, is told by them and not in the log."""
        path = self.url.partition(b"?")[0].decode("latin-1")
        return wire_of(path) is None and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing."""

    def send_400_response(self, msg: str) -> None:
        self._refuse(400)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._go_on()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or self._is_answering:
            return
        if self._refused:
            self._write_refusal()
        elif self._held:
            held, self._held = self._held, b""
            self.loop.call_soon(self.data_received, held)
        elif self._has_begun:
            self._unset_keepalive_if_required()  # half a head has come already
            self._arm()
        elif not self._in_head:  # its body is still coming, and nobody reads it
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    # The parser's calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._has_begun, self._n_trailer_bytes = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            if len(self.headers) > MAX_HEADERS:
                self._refuse(431)
            return
        # Nothing here reads trailers, and what comes after a request has begun must not change its headers.
        self._n_trailer_bytes += len(name) + len(value) + 4
        if self._n_trailer_bytes > MAX_HEAD_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse(414 if len(self.url) > MAX_HEAD_BYTES // 2 else 431)
        if self._refused:
            return
        self._in_head, self._has_begun, self._n_framing = False, False, 0
        self._is_chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        self._disarm()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._n_framing = 0

    def on_body(self, body: bytes) -> None:
        self._n_framing = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._n_framing = True, 0
        if not self._refused:
            super().on_message_complete()
            if not self._is_answering:
                self._arm()

    # Limits

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _parse(self, data: bytes) -> None:
        if self._in_head and self._timer is None and not self._is_answering:
            self._arm()
        self._n_framing += len(data)  # set back by the parser's calls
        super().data_received(data)
        if self._n_framing > MAX_HEAD_BYTES:
            self._refuse(414 if self._in_head and not self.headers else 431)

    def _refuse(self, status: int) -> None:
        """Answer so, after the answers that are under way, and read nothing more."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = status
        if self._is_answering and self._in_head:
            self.flow.pause_reading()
        elif self._is_answering:  # its own body broke the limit: for the application, the caller has left
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
            else:
                self._write_refusal()
        else:
            self._write_refusal()

    def _write_refusal(self) -> None:
        self._unset_keepalive_if_required()
        self._disarm()
        path = getattr(self, "url", b"")[:100].decode("latin-1").partition("?")[0]
        _, body = error_form(wire_of(path), Unserved(_TEXTS[self._refused], self._refused))
        lines = f"x-content-type-options: nosniff\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        head = STATUS_LINE[self._refused] + b"content-type: application/json\r\n" + lines.encode()
        self.transport.write(head + body)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _go_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._has_begun:
            self._refuse(408)
        else:
            self.transport.close()  # opened ahead, and never used
