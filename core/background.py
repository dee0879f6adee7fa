"""Work that must happen although nobody asks for it.

Other processes' changes are seen, the money of dead ones is freed, alerts get out.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from core.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

EVERY_S = 5.0


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
