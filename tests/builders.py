"""Nouns and servers that tests share: a recorded call, and the gateway as it is served, in this process."""

import asyncio
import io
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import openai
import uvicorn
from sqlalchemy import Engine, event

from api.access import Access
from api.edge.app import Edge
from api.limits import LimitedProtocol
from api.server import Server
from core import ModelManager, clock
from core.config import Settings
from core.domain.generation import Generation, Usage
from core.vendors import VENDORS
from tests.fakes import gemini as gemini_fake
from tests.fakes import vendors as vendor_fake
from tests.fakes.gemini import FakeGemini
from tests.fakes.vendors import FakeVendor

GPT, CLAUDE, FLASH = "gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"
VLLM = "vllm/my-model"
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
CONTENTS: list[Any] = [{"role": "user", "parts": [{"text": "Hello"}]}]
NOON = clock.from_us(1_790_000_000_000_000 // clock.DAY_US * clock.DAY_US + 12 * clock.HOUR_US)


def a_generation(id_: str, **changes: object) -> Generation:
    """A real call by the API that went well, at noon of a day of 2026."""
    fields: dict[str, object] = {
        "id": id_,
        "created_at": NOON,
        "request_model": "m",
        "response_model": "m",
        "provider": "gemini",
        "source": "api",
        "status": "ok",
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost_usd": Decimal("0.0000001"),
        "cost_status": "priced",
        "latency_s": 0.5,
        "ttft_s": 0.1,
    }
    return Generation(**{**fields, **changes})  # type: ignore[arg-type]


@dataclass
class Heard:
    """A raw answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A gateway that answers at `address`."""

    address: str
    mm: ModelManager
    vendor: FakeVendor
    gemini: FakeGemini
    clients: dict[str, openai.OpenAI] = field(default_factory=dict)

    def client(self, key: str = "none") -> openai.OpenAI:
        if key not in self.clients:
            self.clients[key] = openai.OpenAI(base_url=f"{self.address}/v1", api_key=key, max_retries=0)
        return self.clients[key]

    def chat(self, model: str, messages: list[Any] = HELLO, *, key: str = "none", **more: Any) -> Any:
        """The raw response, whole."""
        return self.client(key).chat.completions.with_raw_response.create(model=model, messages=messages, **more)

    def stream(self, model: str, messages: list[Any] = HELLO, *, key: str = "none", **more: Any) -> list[Any]:
        stream = self.client(key).chat.completions.create(model=model, messages=messages, stream=True, **more)
        return list(stream)

    def complete(self, body: dict[str, Any], **headers: str) -> Heard:
        """What comes back for a body of OpenAI's wire; "Hello" to GPT where it says nothing else."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post("/v1/chat/completions", {"model": GPT, "messages": HELLO, **body}, lines)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Heard:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"Content-Type": "application/json", **(headers or {})}
        return self._ask(urllib.request.Request(self.address + path, raw, lines))

    def get(self, path: str) -> Heard:
        return self._ask(urllib.request.Request(self.address + path))

    def _ask(self, request: urllib.request.Request) -> Heard:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Heard(answer.status, _lower(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Heard(error.code, _lower(error.headers), error.read())

    def rows(self) -> list[Generation]:
        """All that is recorded, the newest first."""
        return [self.mm.log.get(row.id) for row in self.mm.log.latest(limit=100)]

    def row(self) -> Generation:
        """The last one that was recorded."""
        return self.mm.log.get(self.mm.log.latest(limit=1)[0].id)

    def forget(self) -> None:
        """What the vendors' fakes were told and asked, and how often vendors failed."""
        self.vendor.forget()
        self.gemini.forget()
        for provider in ("openai", "vllm", "ollama", "anthropic", "gemini"):
            for model in (GPT, CLAUDE, FLASH, "my-model", "llama3.2:3b"):
                self.mm.breakers.succeeded(provider, model)

    def books_agree(self) -> bool:
        """Whether budgets and figures are what the log says, and nothing is left reserved."""
        reserved = sum(status.reserved_usd for status in self.mm.budgets.statuses())
        return not (self.mm.budgets.differences() or self.mm.monitoring.differences() or reserved)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@contextmanager
def statements(word: str = "") -> Iterator[list[str]]:
    """The statements that databases are sent meanwhile, by any manager; those with a word in them."""
    sent: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if word in statement:
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def until(holds: Callable[[], bool], seconds: float = 3.0) -> bool:
    """Whether it holds within so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def settings_of(*, server_keys: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Settings in which `openai_api_key` and `openai_base_url` stand for the key and the address of that vendor."""
    keys, addresses = {**given.pop("keys", {}), **(server_keys or {})}, {**given.pop("addresses", {})}
    for spec in VENDORS.values():
        for into, name in ((keys, f"{spec.name}_api_key"), (addresses, f"{spec.name}_base_url")):
            if value := given.pop(name, None):
                into[spec.name] = value
    return Settings(keys=keys, addresses=addresses, **given)


@contextmanager
def running_gateway(database_url: str, **settings: Any) -> Iterator[Running]:
    """Served as `aimm serve` does it: calls run on the server's own loop. Every vendor is a fake."""
    vendor, gemini = FakeVendor(), FakeGemini()
    given = {
        "openai_api_key": vendor_fake.KEY, "openai_base_url": f"{vendor.url}/v1", "anthropic_api_key": vendor_fake.KEY,
        "anthropic_base_url": vendor.url, "ollama_base_url": vendor.url, "servers": {"vllm": f"{vendor.url}/v1"},
        "gemini_api_key": gemini_fake.KEY, "gemini_base_url": gemini.url, **settings,
    }  # fmt: skip
    ready, ends = threading.Event(), threading.Event()
    found: list[Any] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        chosen = settings_of(database_url=database_url, **given)
        mm = await asyncio.to_thread(ModelManager.open, chosen, simulated_speed=0, source="api", loop=loop)
        mm.prices.price("openai", GPT, clock.now())  # reads the catalogue, which takes a short deadline's time
        answering = Server(lambda: mm)
        answering.begin()
        app = Edge(Access(answering, lambda: mm, is_local=True), lambda: mm)
        config = uvicorn.Config(
            app,
            "127.0.0.1",
            0,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            http=LimitedProtocol,
        )
        server = uvicorn.Server(config)
        served = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.005)
        found.extend([mm, server.servers[0].sockets[0].getsockname()[1]])
        ready.set()
        await asyncio.to_thread(ends.wait)
        server.should_exit = server.force_exit = True
        await served
        await asyncio.to_thread(mm.close)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gateway")
    thread.start()
    try:
        assert ready.wait(30)
        running = Running(f"http://127.0.0.1:{found[1]}", found[0], vendor, gemini)
        yield running
        for client in running.clients.values():
            client.close()
    finally:
        ends.set()
        thread.join(20)
        vendor.close()
        gemini.close()


def printed_by(code: str, environ: Mapping[str, str]) -> str:
    """The output of a program run in this process, which has loaded its libraries already."""
    before, out = dict(os.environ), io.StringIO()
    try:
        os.environ.update(environ)
        with redirect_stdout(out):
            exec(compile(code, "<snippet>", "exec"), {"__name__": "__main__"})  # noqa: S102 - it is ours
    finally:
        os.environ.clear()
        os.environ.update(before)
    return out.getvalue()
