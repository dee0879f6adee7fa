"""The HTTP client to vendors, against a server that sends given bytes."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from core.errors import ProviderError
from core.providers.http import http1
from core.providers.http.http1 import Http1Client

HEAD = b"HTTP/1.1 200 OK\r\n"
STRAY = HEAD + b"x-whose: other\r\ncontent-length: 5\r\n\r\nstray"


def answer(body: bytes, headers: bytes = b"") -> bytes:
    return HEAD + headers + b"content-length: %d\r\n\r\n" % len(body) + body


class Raw:
    """Sends the next of its packets for each request, and numbers its connections. later: what follows unasked."""

    def __init__(self, *packets: bytes, later: bytes = b"", ends: bool = False, resets: bool = False) -> None:
        self.packets = list(packets)
        self.later, self.ends, self.resets = later, ends, resets
        self.n_connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(self.packets.pop(0))
                await writer.drain()
                if self.later:
                    await asyncio.sleep(0.02)
                    writer.write(self.later)
                    self.later = b""
                if self.resets:
                    await asyncio.sleep(0.02)
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                if self.ends or self.resets:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def run(raw: Raw, ask: Callable[[Http1Client], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
        client = Http1Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {})
        try:
            async with asyncio.timeout(10):
                return await ask(client)
        finally:
            await client.close()
            server.close()

    return asyncio.run(main())


async def asked(client: Http1Client) -> tuple[int, bytes, dict[str, str]]:
    channel = await client.request("POST", "/", b"", 5.0)
    try:
        status = await channel.head()
        parts = []
        while data := await channel.read():
            parts.append(data)
        return status, b"".join(parts), channel.headers
    finally:
        client.release(channel)


async def twice(client: Http1Client) -> list[tuple[int, bytes, dict[str, str]]]:
    first = await asked(client)
    await asyncio.sleep(0.06)
    return [first, await asked(client)]


@pytest.mark.parametrize(
    ("raw", "n_connections"),
    [
        (Raw(answer(b"one"), answer(b"two")), 1),
        (Raw(answer(b"one"), answer(b"two"), later=STRAY), 2),
        (Raw(answer(b"one") + STRAY, answer(b"two")), 2),
        (Raw(answer(b"one") + b"rubbish", answer(b"two")), 2),
        (Raw(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n" + STRAY, answer(b"two")), 2),
    ],
)
def test_a_connection_on_which_more_came_than_was_asked_for_is_not_used_again(raw: Raw, n_connections: int):
    first, second = run(raw, twice)

    assert [first[:2], second[:2]] == [(200, b"one"), (200, b"two")]
    assert "x-whose" not in first[2]
    assert raw.n_connections == n_connections


def test_unread_words_on_an_idle_connection_are_seen_before_the_loop_reads_them():
    async def ask(client: Http1Client) -> bool:
        await asked(client)
        channel = client._idle[0]
        channel._transport.pause_reading()
        await asyncio.sleep(0.06)
        return channel.is_quiet

    assert run(Raw(answer(b"one")), ask)
    assert not run(Raw(answer(b"one"), later=STRAY), ask)


def test_an_answer_given_back_before_its_end_is_kept_once():
    piece, end = b"6\r\n[DONE]\r\n", b"0\r\n\r\n"
    stray = HEAD + b"content-length: 0\r\n\r\n"

    async def ask(client: Http1Client) -> list[int]:
        channel = await client.request("POST", "/", b"", 5.0)
        await channel.head()
        await channel.read()
        channel.is_ending = True
        client.release(channel)
        counts = []
        for _ in range(2):
            await asyncio.sleep(0.05)
            counts.append(len(client._idle))
        assert all(each.is_closed for each in client._idle)
        return counts

    raw = Raw(HEAD + b"transfer-encoding: chunked\r\n\r\n" + piece, later=end + stray + stray)
    assert run(raw, ask) == [1, 1]


def test_without_a_length_only_an_orderly_end_is_the_end():
    whole = HEAD + b"connection: close\r\n\r\nhalf"

    assert run(Raw(whole, ends=True), asked)[1] == b"half"
    with pytest.raises(ProviderError, match="broke"):
        run(Raw(whole, resets=True), asked)


@pytest.mark.parametrize("cut", [0, 4])
def test_a_packed_body_is_whole_or_broken(cut: int):
    packed = gzip.compress(b"hello " * 100)
    raw = Raw(answer(packed[: len(packed) - cut], b"content-encoding: gzip\r\n"))

    if not cut:
        assert run(raw, asked)[1] == b"hello " * 100
        return
    with pytest.raises(ProviderError, match="packed body is cut off"):
        run(raw, asked)


def test_a_packed_body_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http1, "MAX_ANSWER_BYTES", 100_000)

    with pytest.raises(ProviderError, match="no HTTP"):
        run(Raw(answer(gzip.compress(bytes(1_000_000)), b"content-encoding: gzip\r\n")), asked)
