"""The log of a process that serves: lines for people, or one JSON object each; free of keys, and of what calls say."""

import io
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TextIO

from core.config import JSON_LINES, setting_before
from core.domain.generation import Generation
from core.domain.metrics import CallFacts
from core.errors import redact
from core.formats import strict_json as json
from core.formats.text import mended

MAX_LINE = 4096  # what a pipe takes in one piece (PIPE_BUF): lines of processes that share one never mix
_MAX_FIELD = 200
_LEFT_OUT = " […] "
_OTHERS = ("uvicorn", "uvicorn.error", "dbos")  # they bring handlers of their own

requests = logging.getLogger("aimm.requests")
printed = logging.getLogger("aimm.printed")
logger = logging.getLogger("aimm")


@dataclass(slots=True)
class HttpRequest:
    """A request under way, for the lines of its calls. n_told: Calls of it that have a line already."""

    path: str
    n_told: int = 0


_request: ContextVar[HttpRequest | None] = ContextVar("aimm_request", default=None)


def begin_log() -> None:
    """Write the log of this process as AIMM_LOG_FORMAT says, from now on. To be called first, once."""
    is_json = setting_before("AIMM_LOG_FORMAT") == JSON_LINES
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonLines() if is_json else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    for name in _OTHERS:
        take_over(logging.getLogger(name))
    sys.excepthook = _tell_uncaught
    threading.excepthook = lambda args: _tell_uncaught(args.exc_type, args.exc_value, args.exc_traceback, args.thread)
    for each in (logger, printed):
        each.setLevel(logging.INFO)
    requests.setLevel(logging.INFO if is_json else logging.WARNING)
    if is_json:
        logging.captureWarnings(True)
        sys.stdout, sys.stderr = Printed(sys.stdout, logging.INFO), Printed(sys.stderr, logging.WARNING)


def take_over(logger: logging.Logger) -> None:
    """Let the root write what a logger tells."""
    logger.handlers.clear()
    logger.propagate = True


def tells_requests() -> bool:
    return requests.isEnabledFor(logging.INFO)


@contextmanager
def request_under_way(path: str) -> Iterator[HttpRequest]:
    """Name the request in whose course calls are made."""
    under_way = HttpRequest(path)
    token = _request.set(under_way)
    try:
        yield under_way
    finally:
        _request.reset(token)


def tell_call(g: Generation, _facts: CallFacts) -> None:
    """An observer: one line a recorded call, whoever asked. What is not known is null."""
    if not tells_requests():
        return
    request, usage = _request.get(), g.usage
    if request is not None:
        request.n_told += 1
    fields = {
        "id": g.id, "key_id": g.key_id or None, "path": request.path if request else None, "source": g.source,
        "provider": g.provider, "model": g.model, "status": g.status, "error": g.error_class or None,
        "ms": round(g.latency_s * 1e3, 1), "ttft_ms": None if g.ttft_s is None else round(g.ttft_s * 1e3, 1),
        "attempts": g.n_attempts, "input_tokens": usage.input_tokens, "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens, "thinking_tokens": usage.thinking_tokens,
        # Whole nano-dollars come through a double unchanged, up to nine million dollars.
        "cost_usd": None if g.cost_usd is None else float(g.cost_usd), "cost_status": g.cost_status,
    }  # fmt: skip
    requests.info("call", extra={"fields": fields})


def tell_request(fields: dict[str, object]) -> None:
    """One line for a request that made no call: a look, a change, or a refusal."""
    requests.info("request", extra={"fields": fields})


class TextLines(logging.Formatter):
    """The message and its traceback, without keys."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII, of at most MAX_LINE bytes; long texts lose their middle."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), "logger": record.name[:100],
            "message": _clean(_message(record)),
        }  # fmt: skip
        for name, value in getattr(record, "fields", {}).items():
            line[name] = _clean(value)[:_MAX_FIELD] if isinstance(value, str) else value
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__[:_MAX_FIELD]
            line["traceback"] = _clean(self.formatException(record.exc_info))
        text = json.dumps(line)
        return text if len(text) < MAX_LINE else json.dumps(_shortened(line))


def _clean(text: str) -> str:
    return mended(redact(text))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit, or cannot say what they are
        return str(record.msg)


def _shortened(line: dict[str, Any]) -> dict[str, Any]:
    """The line with its longest texts cut until it fits."""
    long = [name for name in ("message", "traceback") if name in line]
    room = MAX_LINE - 1 - len(json.dumps({**line, **dict.fromkeys(long, "")}))
    for name in long:
        share = room // 4 if name == "message" and len(long) > 1 else room
        line[name] = _cut(line[name], share)
        room -= len(json.dumps(line[name])) - 2
    return line


def _cut(text: str, room: int) -> str:
    """A text whose JSON has at most so many bytes: its beginning and its end. An escape takes up to twelve."""
    n, found = room, text
    while len(json.dumps(found)) - 2 > room:
        found = text[: n // 4] + _LEFT_OUT + text[len(text) - n // 2 :]
        n = n * 3 // 4
    return found


class _Handler(logging.StreamHandler[TextIO]):
    """A handler that says nothing of a line which nobody takes: that would be another one."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class Printed(io.TextIOBase):
    """Stands for standard output or error, where what others print becomes lines of the log."""

    encoding = "utf-8"

    def __init__(self, stream: TextIO, level: int) -> None:
        self._stream = stream
        self._level = level
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, rest = (self._rest + text).split("\n")
            self._rest = rest[-1_000_000:]
        for line in lines:
            if line.strip():
                printed.log(self._level, "%s", line.rstrip())
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()


def _tell_uncaught(
    kind: type[BaseException],
    error: BaseException | None,
    trace: TracebackType | None,
    thread: threading.Thread | None = None,
) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    where = f"the thread {thread.name}" if thread is not None else "the process"
    logger.critical("%s ended by an error: %s", where, kind.__name__, exc_info=(kind, error or kind(), trace))
