"""The API without the dashboard: `aimm serve`. One process, or several that share a database."""

import asyncio
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import Access
from api.gateway.app import Gateway
from api.gateway.exchange import Exchange, dumped
from api.headers import Headers
from api.idempotency import Idempotent
from api.limits import LimitedProtocol
from api.metrics import metrics_endpoint
from core import AimmError, ModelManager
from core.config import Settings
from core.listen_policy import check_binding, is_loopback

LOOK_S = 0.2
GRACE_S = 5  # for answers under way when the server is told to stop
END_S = 9.0  # then a process that has not ended is ended


class Server:
    """The application: /v1 and /gemini, /api, /metrics, and how it is. The rarely asked part is made when it is first asked."""

    def __init__(self, get_manager: Callable[[], ModelManager]) -> None:
        self._get_manager = get_manager
        self._gateway = Gateway(get_manager)
        self._metrics = metrics_endpoint(get_manager)
        self._api: ASGIApp | None = None
        self._document: Callable[[], dict[str, Any]] = dict
        self._once = Idempotent(self._answered, get_manager)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # HEAD is answered as GET; the server leaves the body out.
            await self._once({**scope, "method": "GET"} if scope["method"] == "HEAD" else scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(("/v1/", "/gemini/")) or path in ("/v1", "/gemini"):
            await self._gateway(scope, receive, send)
        elif path.startswith("/api/"):
            await self._made_api()({**scope, "root_path": "/api"}, receive, send)
        elif path == "/openapi.json":
            self._made_api()
            await Exchange(scope, receive, send).answer(200, dumped(self._document()), {})
        elif path == "/metrics":
            response = await self._metrics(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await self._state(Exchange(scope, receive, send))

    def _made_api(self) -> ASGIApp:
        if self._api is None:
            from api.openapi import document
            from api.rest.calls import make_app
            from api.rest.guard import Guard

            app = make_app(self._get_manager)
            self._document = lambda: document(app.openapi())
            self._api = Guard(app)
        return self._api

    async def _state(self, exchange: Exchange) -> None:
        if exchange.path in ("/health", "/healthz"):
            return await exchange.answer(200, b'{"status":"healthy"}', {})
        if exchange.path == "/readyz":
            is_ready = await asyncio.to_thread(_is_ready, self._get_manager)
            return await exchange.answer(200 if is_ready else 503, dumped({"ready": is_ready}), {})
        return await exchange.answer(
            404, dumped({"error": "There is nothing at this address.", "code": "not_found"}), {}
        )


class _Uvicorn(uvicorn.Server):
    """When the time is up for answers that are under way, their calls are stopped, and so recorded with what came."""

    def __init__(self, config: uvicorn.Config, mm: ModelManager) -> None:
        super().__init__(config)
        self._mm = mm

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        loop = asyncio.get_running_loop()
        time_is_up = loop.call_later(GRACE_S, loop.run_in_executor, None, self._mm.calls.cancel_all)
        await super().shutdown(sockets)
        time_is_up.cancel()


def _is_ready(get_manager: Callable[[], ModelManager]) -> bool:
    try:
        return get_manager().is_ready()
    except Exception:  # noqa: BLE001 - whatever it is, it is not ready
        return False


def serve(host: str, port: int, settings: Settings, *, sockets: list[Any] | None = None) -> int:
    """Serve until told to stop; 1 = refused to start, and said why. sockets: bound already, for one of several processes."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(host, port, settings, sockets))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where there is one (not on Windows): a third less time for the same."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(host: str, port: int, settings: Settings, sockets: list[Any] | None) -> int:
    loop = asyncio.get_running_loop()
    # uvicorn has its own handler while it serves and sends the signal again when it is done: that must not end us before
    # the records are written.
    stopped = threading.Event()
    _on_signals(stopped.set)
    sys.setswitchinterval(0.001)  # the writer's thread beside the loop: a shorter switch keeps answers short
    try:
        # The calls run on this very loop: nothing crosses threads between a vendor's bytes and the caller's.
        mm = await asyncio.to_thread(ModelManager.open, settings, source="api", loop=loop)
    except AimmError as error:
        return _refuse(error)
    try:
        await asyncio.to_thread(check_binding, mm, host, has_dashboard=False, has_login=False)
        app = Headers(Access(Server(lambda: mm), lambda: mm, is_local=is_loopback(host)))
        config = uvicorn.Config(
            app, host, port, log_level="warning", access_log=False, server_header=False, lifespan="off", timeout_keep_alive=75, http=LimitedProtocol,
            timeout_graceful_shutdown=GRACE_S + 2, proxy_headers=False,
        )  # fmt: skip
        server = _Uvicorn(config, mm)
        _on_signals(partial(setattr, server, "should_exit", True))
        server.should_exit = stopped.is_set()
        # What is there by now stays; looking through it again and again would stop all streams for tens of milliseconds.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        where = f"http://{'localhost' if is_loopback(host) else host}:{port}"
        sys.stderr.write(f"AI Model Manager answers at {where}/v1, {where}/gemini and {where}/api/docs\n")
        with suppress(asyncio.CancelledError):
            await server.serve(sockets=sockets)
        return 0 if server.started else 1
    except AimmError as error:
        return _refuse(error)
    finally:
        await asyncio.to_thread(mm.close)


def _on_signals(end: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end())


def _refuse(error: AimmError) -> int:
    sys.stderr.write(f"{error.message} {error.hint}".strip() + "\n")
    return 1


def serve_many(host: str, port: int, settings: Settings, n_workers: int) -> int:
    """Several processes on one address; one that dies is started again. Ends with all of them."""
    shared = replace(settings, n_workers=n_workers)
    context = multiprocessing.get_context("spawn")
    bound = uvicorn.Config(_nothing, host, port).bind_socket()
    ends = threading.Event()
    _on_signals(ends.set)

    def start() -> Any:
        process = context.Process(target=_work, args=(host, port, shared, bound))
        process.start()
        return process

    workers = [start() for _ in range(n_workers)]
    status = 0
    while not ends.wait(LOOK_S):
        for at, worker in enumerate(workers):
            if not worker.is_alive():
                if worker.exitcode == 1:  # it refused, and so would the next one
                    status = 1
                    ends.set()
                elif not ends.is_set():
                    workers[at] = start()
    _end(workers)
    bound.close()
    return status


def _end(workers: list[Any]) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + END_S
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.kill()
            worker.join()


def _work(host: str, port: int, settings: Settings, bound: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(serve(host, port, settings, sockets=[bound]))


def _end_with_parent() -> None:
    """Nobody would start or stop a process whose parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where an application must be named to get a socket."""
