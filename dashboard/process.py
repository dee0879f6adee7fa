"""The process's one ModelManager, for pages and routes alike."""

import asyncio
import threading

from core import ModelManager

_lock = threading.Lock()
_manager: ModelManager | None = None
_loop: asyncio.AbstractEventLoop | None = None


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
