"""The process's one ModelManager, for pages and routes alike."""

import asyncio
import functools
import gc
import importlib
import pkgutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

from streamlit import config
from streamlit.runtime import app_session

from core import ModelManager
from core.formats import zones

# Scripts of pages at a time: more of them only take Python's one lock from each other, and from the API's calls
# (30 viewers of Monitoring: 8 pages a second instead of 2, and a program waits 34 ms longer instead of 530).
# After each they have the lock to themselves for a moment: beside 30 viewers of a small page a call took half as long.
N_AT_ONCE, AT_MOST_S, PAUSE_S = 1, 6.0, 0.005
_lock = threading.Lock()
_turns, _held = threading.Semaphore(N_AT_ONCE), threading.local()
_manager: ModelManager | None = None
_loop: asyncio.AbstractEventLoop | None = None
_n_modules = 0  # when what was loaded was last put aside


def manager() -> ModelManager:
    """Open on first use; the server closes it at its end."""
    global _manager
    with _lock:
        if _manager is None:
            _manager = ModelManager.open(loop=_loop)
        return _manager


def zone() -> ZoneInfo:
    """The time zone of all that is shown."""
    return zones.zone(_manager.settings.time_zone if _manager is not None else "UTC")


def run_on(loop: asyncio.AbstractEventLoop) -> None:
    """The server's loop, for calls to run on."""
    global _loop
    _loop = loop


def warm_up() -> None:
    """Load the engine of runs, what verdicts are computed with, and what pages draw with: two seconds in all."""
    manager().runs.launch()
    importlib.import_module("scipy.special")
    for name in ("dashboard.components", "dashboard.frames"):
        for found in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
            importlib.import_module(found.name)


def put_aside() -> None:
    """Leave what is loaded out of collections of garbage, each time modules have come.

    Modules, classes and compiled statements are half a million objects that stay, 0.15 s to go through, in which no
    call is answered. What is put aside is still freed once nothing refers to it; only a circle in it would stay.
    """
    global _n_modules
    if len(sys.modules) > _n_modules:
        _n_modules = len(sys.modules)
        gc.collect()
        gc.freeze()


def keep_settings() -> None:
    """Look up the theme once: each run of a page begins with it, for a quarter of its time on the server's loop."""
    for owner, name in ((config, "get_options_for_section"), (app_session, "to_snake_case")):
        setattr(owner, name, functools.cache(getattr(owner, name)))


def use(opened: ModelManager | None) -> None:
    """Take another manager, or none; for tests and for shutdown."""
    global _manager
    with _lock:
        _manager = opened


def close() -> None:
    global _manager
    with _lock:
        if _manager is not None:
            _manager.close()
            _manager = None


@contextmanager
def turn() -> Iterator[None]:
    """Wait until the script of a page may run; not for long, should another one be stuck."""
    _held.has_turn = _turns.acquire(timeout=AT_MOST_S)
    try:
        yield
    finally:
        if _held.has_turn:
            _held.has_turn = False  # Streamlit runs fragments on the same thread, without a turn
            time.sleep(PAUSE_S)
            _turns.release()


@contextmanager
def aside() -> Iterator[None]:
    """Let other pages run while this one waits for something."""
    had_turn = getattr(_held, "has_turn", False)
    if had_turn:
        _held.has_turn = False
        _turns.release()
    try:
        yield
    finally:
        if had_turn:
            _held.has_turn = _turns.acquire(timeout=AT_MOST_S)
