"""The background of a process: the event loop of all calls, and jobs that must be done although nobody asks for them.

The jobs see other processes' changes, free the money of dead ones and get alerts out.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from core.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

EVERY_S = 5.0
T = TypeVar("T")


class PeriodicJobs:
    """Jobs that a thread of their own runs one after the other, again and again; a failing one stops no other."""

    def __init__(self, jobs: Sequence[Callable[[], object]], every_s: float = EVERY_S) -> None:
        self._jobs = jobs
        self._every_s = every_s
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aimm-background", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ends.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._ends.wait(self._every_s):
            for job in self._jobs:
                if self._ends.is_set():
                    return
                try:
                    job()
                except DatabaseUnavailable:  # told already
                    continue
                except Exception as error:  # noqa: BLE001 - a passing fault must not end the thread
                    logger.warning("a background job failed: %s", type(error).__name__)


class BackgroundLoop:
    """The core's one event loop: in a thread of its own, or the one that a server runs on already.

    adopted: A running loop to use instead of one's own; then nothing has to cross threads on its way to the server.
    """

    def __init__(self, adopted: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = adopted or asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()  # the loop itself holds its tasks only weakly
        if adopted is None:
            self._thread = threading.Thread(target=self._loop.run_forever, name="aimm-loop", daemon=True)
            self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine in the background; from any thread."""
        if self._is_here():
            self._spawn(coroutine)
        else:
            self._loop.call_soon_threadsafe(self._spawn, coroutine)

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine from another thread. On the loop itself this would wait for ever, so it is refused."""
        if self._is_here():
            coroutine.close()
            raise RuntimeError("The core's loop cannot wait for itself: call this in a thread (asyncio.to_thread).")
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()

    def close(self) -> None:
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._loop.is_running():
            self._loop.close()
