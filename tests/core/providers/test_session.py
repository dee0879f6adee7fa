"""The HTTP client to vendors, against a server that sends given bytes."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from core.errors import ProviderError
from core.providers.http import session as module
from core.providers.http.network import Network
from core.providers.http.session import Incoming, Session

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


def run(raw: Raw, ask: Callable[[Session], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Session("The vendor", address, {}, Network())
        try:
            async with asyncio.timeout(10):
                return await ask(client)
        finally:
            await client.close()
            server.close()

    return asyncio.run(main())


async def asked(client: Session) -> tuple[int, bytes, dict[str, str]]:
    incoming = await client.request("POST", "/", b"")
    try:
        parts = []
        while data := await incoming.read():
            parts.append(data)
        return incoming.status, b"".join(parts), dict(incoming.headers)
    finally:
        incoming.release()


async def twice(client: Session) -> list[tuple[int, bytes, dict[str, str]]]:
    first = await asked(client)
    await asyncio.sleep(0.06)
    return [first, await asked(client)]


@pytest.mark.parametrize(
    ("raw", "n_connections"),
    [
        (Raw(answer(b"one"), answer(b"two")), 1),
        (Raw(answer(b"one"), answer(b"two"), later=STRAY), 2),
        (Raw(answer(b"one") + STRAY, answer(b"two")), 2),
        (Raw(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n" + STRAY, answer(b"two")), 2),
    ],
)
def test_a_connection_on_which_more_came_than_was_asked_for_is_not_used_again(raw: Raw, n_connections: int):
    first, second = run(raw, twice)

    assert [first[:2], second[:2]] == [(200, b"one"), (200, b"two")]
    assert "x-whose" not in first[2]
    assert raw.n_connections == n_connections


def test_unread_words_on_an_idle_connection_are_seen_before_the_loop_reads_them():
    raw = Raw(answer(b"one"), answer(b"two"), later=STRAY)

    async def ask(client: Session) -> list[bytes]:
        incoming = await client.request("POST", "/", b"")
        transport = incoming._response.handler.transport
        first = await incoming.read()
        assert not await incoming.read()
        transport.pause_reading()
        incoming.release()
        await asyncio.sleep(0.06)
        return [first, (await asked(client))[1]]

    assert run(raw, ask) == [b"one", b"two"]
    assert raw.n_connections == 2


@pytest.mark.parametrize(("end", "n_connections"), [(b"0\r\n\r\n", 1), (b"", 2)])
def test_an_answer_given_back_before_its_end_keeps_its_connection_if_the_end_comes(
    end: bytes, n_connections: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "END_S", 0.05)
    raw = Raw(HEAD + b"transfer-encoding: chunked\r\n\r\n6\r\n[DONE]\r\n", answer(b"two"), later=end)

    async def ask(client: Session) -> bytes:
        incoming = await client.request("POST", "/", b"")
        assert await incoming.read() == b"[DONE]"
        incoming.is_ending = True
        incoming.release()
        await asyncio.sleep(0.1)
        return (await asked(client))[1]

    assert run(raw, ask) == b"two"
    assert raw.n_connections == n_connections


def test_an_answer_given_back_in_its_midst_closes_its_connection():
    raw = Raw(HEAD + b"content-length: 9\r\n\r\nhalf", answer(b"two"))

    async def ask(client: Session) -> bytes:
        incoming: Incoming = await client.request("POST", "/", b"")
        assert await incoming.read() == b"half"
        incoming.release()
        return (await asked(client))[1]

    assert run(raw, ask) == b"two"
    assert raw.n_connections == 2


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


def test_a_packed_body_may_come_in_several_members_and_nothing_else_behind_them():
    packed, kind = gzip.compress(b"hello ") + gzip.compress(b"again"), b"content-encoding: gzip\r\n"

    assert run(Raw(answer(packed, kind)), asked)[1] == b"hello again"
    for behind, says in ((b"rubbish", "cannot be read"), (packed[:9], "cut off")):
        with pytest.raises(ProviderError, match=says):
            run(Raw(answer(packed + behind, kind)), asked)


def test_a_packed_body_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100_000)

    with pytest.raises(ProviderError, match="unpacks to too much"):
        run(Raw(answer(gzip.compress(bytes(1_000_000)), b"content-encoding: gzip\r\n")), asked)


def test_rubbish_behind_an_answer_is_a_fault_and_not_the_next_answer():
    raw = Raw(answer(b"one") + b"rubbish", answer(b"two"))

    async def ask(client: Session) -> bytes:
        with pytest.raises(ProviderError, match="no HTTP"):
            await asked(client)
        return (await asked(client))[1]

    assert run(raw, ask) == b"two"


@pytest.mark.parametrize("is_reset", [True, False])
def test_what_came_before_a_fault_is_read_before_it(is_reset: bool):
    raw = Raw(HEAD + b"content-length: 9\r\n\r\nhalf", ends=not is_reset, resets=is_reset)

    async def ask(client: Session) -> bytes:
        incoming = await client.request("POST", "/", b"")
        await asyncio.sleep(0.06)  # the fault is there as well
        data = await incoming.read()
        for _ in range(2):
            with pytest.raises(ProviderError, match="The connection to The vendor broke"):
                await incoming.read()
        incoming.release()
        return data

    assert run(raw, ask) == b"half"


def test_a_body_larger_than_a_packet_is_sent_whole():
    received = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 3000000\r\n" in head.lower()
        received.append(await reader.readexactly(3_000_000))
        writer.write(answer(b"one"))
        await writer.drain()
        writer.close()

    async def main() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Session("The vendor", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {}, Network())
        incoming = await client.request("POST", "/", b"abc" * 1_000_000)
        data = await incoming.read()
        incoming.release()
        await client.close()
        server.close()
        return data

    assert asyncio.run(main()) == b"one"
    assert received == [b"abc" * 1_000_000]
