"""`aimm serve`: the API without the dashboard, in one process, or in several that share a database."""

import asyncio
import gc
import math
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
from starlette.types import Receive, Scope, Send

from api.access import Access
from api.edge.app import Edge
from api.edge.telling import Telling
from api.gateway.registry import WIRES
from api.headers import Headers
from api.limits import LimitedProtocol
from api.server import Server
from core import AimmError, ModelManager, Settings
from core.acting import look_up_with
from core.domain.people.actor import SYSTEM
from core.listen_policy import check_binding, is_loopback
from core.telemetry.process_log import begin_log, logger
from core.telemetry.sentry import open_sentry

LOOK_S = 0.2
RECORDING_S = 4.0  # then, for what came of the answers that were cut short; a process that has not ended is ended


class _Uvicorn(uvicorn.Server):
    """Stops the calls of answers that are still under way when their time is up; what came is recorded."""

    def __init__(self, config: uvicorn.Config, mm: ModelManager) -> None:
        super().__init__(config)
        self._mm = mm

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        loop = asyncio.get_running_loop()
        time_is_up = loop.call_later(self._mm.settings.drain_s, loop.run_in_executor, None, self._mm.calls.cancel_all)
        await super().shutdown(sockets)
        time_is_up.cancel()


def serve(host: str, port: int, settings: Settings, *, sockets: list[Any] | None = None) -> int:
    """Serve until told to stop; 1 = refused to start, and said why.

    sockets: Bound already, for one of several processes.
    """
    look_up_with(lambda: SYSTEM)
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
    # uvicorn has its own handler while it serves, and sends the signal again when it is done: that must not end us
    # before the records are written.
    stopped = threading.Event()
    _on_signals(stopped.set)
    open_sentry(settings)
    sys.setswitchinterval(0.001)  # the writer's thread beside the loop: a shorter switch keeps answers short
    try:
        # The calls run on this very loop: nothing crosses threads between a vendor's bytes and the caller's.
        mm = await asyncio.to_thread(ModelManager.open, settings, source="api", loop=loop)
    except AimmError as error:
        return _refuse(error)
    try:
        await asyncio.to_thread(check_binding, mm, host, has_dashboard=False, has_login=False)
        served = Server(lambda: mm)
        served.begin()
        access = Access(served, lambda: mm, is_local=is_loopback(host))
        app = Headers(Edge(Telling(access), lambda: mm))
        config = uvicorn.Config(
            app,
            host,
            port,
            http=LimitedProtocol,
            lifespan="off",
            log_config=None,  # the process's own log takes what uvicorn tells
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=True,  # of the proxies in FORWARDED_ALLOW_IPS, by default those of this machine
            timeout_keep_alive=75,
            timeout_graceful_shutdown=math.ceil(settings.drain_s) + 2,
        )
        server = _Uvicorn(config, mm)
        _on_signals(partial(setattr, server, "should_exit", True))
        server.should_exit = stopped.is_set()
        # The objects of now stay; looking through them again and again would stop all streams for tens of milliseconds.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        where = f"http://{'localhost' if is_loopback(host) else host}:{port}"
        addresses = ", ".join(where + wire.prefix for wire in WIRES)
        logger.info("AI Model Manager answers at %s and %s/api/docs", addresses, where)
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
    """Several processes on one address; one that dies is started again. Ends with all of them; 1 = refused to start."""
    shared = replace(settings, n_workers=n_workers)
    try:  # here, so that it is said once
        with ModelManager.open(shared, source="api", takes_up=False) as mm:
            check_binding(mm, host, has_dashboard=False, has_login=False)
    except AimmError as error:
        return _refuse(error)
    context = multiprocessing.get_context("spawn")
    bound = uvicorn.Config(_nothing, host, port, log_config=None).bind_socket()
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
    _end(workers, settings.drain_s + RECORDING_S)
    bound.close()
    return status


def _end(workers: list[Any], within_s: float) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + within_s
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.kill()
            worker.join()


def _work(host: str, port: int, settings: Settings, bound: Any) -> None:
    begin_log()
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
