"""Faults of ours reported to Sentry: where in the code, and of which kind; nothing of what callers or vendors said.

An event is made anew from a list of what may leave, whatever the client of Sentry has gathered.
"""

import atexit
import logging
from collections.abc import Mapping
from typing import Any

from core.config import Settings

logger = logging.getLogger(__name__)

FLUSH_S = 2.0
_OURS = ("aimm", "core.", "api.", "dashboard.")  # loggers whose templates are ours: written in the code, free of texts
_AS_IT_IS = ("event_id", "timestamp", "level", "logger", "platform", "release", "environment", "server_name", "sdk")
_OF_FRAME = ("filename", "module", "function", "lineno", "in_app")


def open_sentry(settings: Settings) -> None:
    """Report this process's errors from now on, where an address is set. To be called once, by a server."""
    if settings.sentry_dsn is None:
        return
    try:
        import sentry_sdk
        from sentry_sdk.integrations.logging import LoggingIntegration
    except ImportError:
        logger.warning(
            "SENTRY_DSN is set, but its client is missing: nothing is reported."
            " Install it with: pip install -e '.[sentry]'"
        )
        return
    try:
        sentry_sdk.init(
            dsn=settings.sentry_dsn,
            default_integrations=False,  # they look into requests, arguments, modules and the command line
            # Whatever ends a thread or the process is told to the log as well: it is the one source.
            integrations=[LoggingIntegration(level=None, event_level=logging.ERROR)],
            before_send=_bare,
            send_default_pii=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            auto_session_tracking=False,
        )
    except Exception as error:  # noqa: BLE001 - an address that is none must not keep a server from its work
        logger.warning("SENTRY_DSN cannot be used (%s): nothing is reported", type(error).__name__)
        return
    atexit.register(sentry_sdk.flush, FLUSH_S)


def _bare(event: Mapping[str, Any], hint: Mapping[str, Any]) -> Any:
    """The event with what may leave, and no more."""
    found = {name: event[name] for name in _AS_IT_IS if name in event}
    record = hint.get("log_record")
    if record is not None and str(record.name).startswith(_OURS):
        found["logentry"] = {"message": str(record.msg), "params": []}
    if faults := (event.get("exception") or {}).get("values"):
        found["exception"] = {"values": [_fault(value) for value in faults]}
    return found


def _fault(value: Mapping[str, Any]) -> dict[str, Any]:
    frames = (value.get("stacktrace") or {}).get("frames", ())
    found = {name: value[name] for name in ("type", "module") if name in value}
    return {**found, "stacktrace": {"frames": [_frame(each) for each in frames]}}


def _frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    return {name: frame[name] for name in _OF_FRAME if name in frame}
