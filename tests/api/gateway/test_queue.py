"""Only so many calls at once: who waits, who is turned away, and what becomes of a place that is given up."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from api.errors import CallerLeft
from api.gateway.queue import Queue
from tests.builders import GPT, Running, running_gateway, until
from tests.conftest import copied, fresh
from tests.fakes import vendors as vendor_fake


@pytest.fixture(scope="module")
def narrow(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    url = copied(sqlite_template, tmp_path_factory.mktemp("narrow"))
    with running_gateway(url, call_timeout_s=6.0, max_in_flight=1, max_waiting=1) as running:
        yield running


def test_only_so_many_are_served_at_once(tmp_path):
    with running_gateway(fresh(tmp_path), max_in_flight=1, max_waiting=1) as running:
        running.vendor.next(*[replace(vendor_fake.openai_answer(), hang_s=0.5)] * 2)
        threads = [threading.Thread(target=running.chat, args=(GPT,)) for _ in range(2)]
        for thread in threads:
            thread.start()
            assert until(lambda: bool(running.vendor.requests))
            time.sleep(0.1)

        with pytest.raises(openai.RateLimitError) as caught:
            running.chat(GPT)
        for thread in threads:
            thread.join(5)

        assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("overloaded", "1")
        assert caught.value.response.headers["x-aimm-reason"] == "overloaded"
        assert running.mm.log.count() == len(running.vendor.requests) == 2
        assert running.chat(GPT).parse().choices


def opened(narrow: Running, path: str, length: int, body: bytes = b"") -> socket.socket:
    """A connection with a request whose body may still be coming."""
    place = urlsplit(narrow.address)
    line = socket.create_connection((place.hostname or "", place.port or 0), timeout=10)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    line.sendall(head.encode() + body)
    return line


def test_slow_senders_lock_nobody_out(narrow: Running):
    slow = [opened(narrow, "/v1/chat/completions", 100, b"{") for _ in range(5)]
    time.sleep(0.1)

    assert narrow.complete({}).status == 200
    for line in slow:
        line.close()


def test_who_leaves_the_queue_gives_up_its_place():
    async def story() -> list[str]:
        queue, gone, ends = Queue(1, 1), asyncio.Event(), asyncio.Event()
        heard = []

        async def wait_gone() -> None:
            await gone.wait()

        async def hold(name: str) -> None:
            try:
                async with queue.slot(wait_gone if name == "leaver" else None):
                    heard.append(name)
                    await ends.wait()
            except CallerLeft:
                heard.append(f"{name} left")

        first = asyncio.create_task(hold("first"))
        await asyncio.sleep(0)
        leaver = asyncio.create_task(hold("leaver"))
        await asyncio.sleep(0)
        gone.set()
        await leaver
        third = asyncio.create_task(hold("third"))
        await asyncio.sleep(0)
        ends.set()
        await asyncio.gather(first, third)
        async with queue.slot():
            heard.append("free")
        return heard

    assert asyncio.run(story()) == ["first", "leaver left", "third", "free"]


@pytest.mark.parametrize("is_given", [True, False])
def test_a_turn_that_is_given_up_as_it_comes_is_neither_lost_nor_doubled(is_given: bool):
    inside: list[str] = []

    async def hold(queue: Queue, until: asyncio.Event, name: str = "") -> None:
        async with queue.slot():
            inside.append(name)
            await until.wait()

    async def scenario() -> None:
        queue, ends = Queue(1, 2), asyncio.Event()
        first = asyncio.create_task(hold(queue, ends))
        await asyncio.sleep(0)
        second = asyncio.create_task(hold(queue, asyncio.Event()))
        await asyncio.sleep(0)
        ends.set()
        if is_given:  # the turn is the second's already, and it has not heard of it
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        inside.clear()
        later = [asyncio.create_task(hold(queue, asyncio.Event(), name)) for name in ("third", "fourth")]
        await asyncio.sleep(0.02)
        for task in later:
            task.cancel()
        await asyncio.gather(*later, return_exceptions=True)

    asyncio.run(scenario())
    assert inside == ["third"]
