"""Decides whether calls are told to an OpenTelemetry collector."""

import logging
from typing import Protocol

from core.calls.recording import CallFacts
from core.config import Settings
from core.domain.generation import Generation

logger = logging.getLogger(__name__)


class Tracing(Protocol):
    """The listener that is told of each call. `observe` is an Observer; it queues and returns at once."""

    def observe(self, g: Generation, facts: CallFacts) -> None: ...
    def close(self) -> None: ...


def open_tracing(settings: Settings) -> Tracing | None:
    """None where no endpoint is set, or where the packages for it are missing, which is said once."""
    if settings.otel_endpoint is None:
        return None
    try:
        from core.telemetry.otlp import Otlp
    except ImportError as error:
        logger.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but %s is missing: nothing is sent."
            " Install it with: pip install -e '.[otel]'",
            error.name,
        )
        return None
    return Otlp(settings)
