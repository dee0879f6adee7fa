"""The process's one ModelManager, for pages and routes alike."""

import asyncio
import gc
import sys
import threading

from core import ModelManager

_lock = threading.Lock()
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


def run_on(loop: asyncio.AbstractEventLoop) -> None:
    """The server's loop, for calls to run on."""
    global _loop
    _loop = loop


def put_aside() -> None:
    """Leave what is loaded out of collections of garbage, each time modules have come: a run of a page ends with one.

    Modules, classes and compiled statements are half a million objects that stay, 0.15 s to go through. What is put
    aside is still freed once nothing refers to it; only a circle in it would stay.
    """
    global _n_modules
    if len(sys.modules) > _n_modules:
        _n_modules = len(sys.modules)
        gc.collect()
        gc.freeze()


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
