"""The process's one ModelManager, for pages and routes alike."""

import threading

from core import ModelManager

_lock = threading.Lock()
_manager: ModelManager | None = None


def manager() -> ModelManager:
    """Open on first use; the server closes it at its end."""
    global _manager
    with _lock:
        if _manager is None:
            _manager = ModelManager.open()
        return _manager


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
