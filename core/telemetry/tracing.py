"""Decides whether calls are told to an OpenTelemetry collector."""

import logging
from typing import TYPE_CHECKING

from core.config import Settings

if TYPE_CHECKING:
    from core.telemetry.otlp import Otlp

logger = logging.getLogger(__name__)


def open_tracing(settings: Settings) -> "Otlp | None":
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
