"""A server's log: each line one JSON object whatever is told, no key in it; and what is reported to Sentry of it."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.generation import Usage
from core.domain.metrics import CallFacts
from core.errors import register_secret
from core.telemetry import process_log
from core.telemetry.process_log import MAX_LINE, JsonLines, TextLines, request_under_way, requests, tell_call
from tests.builders import a_generation
from tests.conftest import ROOT
from tests.fakes.sentry import FakeSentry

SECRET = 'pass"word\\ü-of-the-team'
# What a process may do to its log, with words of callers all over it.
FAULTY = """
import logging, sys, threading, warnings
from core import Settings
from core.telemetry.process_log import begin_log
from core.telemetry.sentry import open_sentry

begin_log()
open_sentry(Settings.load())
def answer(prompt, authorization="Bearer aimm_abcdefghijklmnopqrstuvwxyz0123456789"):
    local_text = prompt.upper()
    raise ValueError(f"cannot answer {prompt!r} for {authorization}")

try:
    answer("the patient's secret")
except ValueError as error:
    logging.getLogger("core.calls.engine").exception("a call failed unexpectedly: %s", error)
    logging.getLogger("asyncio").error(f"task failed for {error}", exc_info=error)
logging.getLogger("uvicorn.error").warning("two\\nlines \\x00 \\ud800 \\u2028 %s %s", "one argument for two")
print("printed \\x1b[31mby somebody", "\\n\\n", file=sys.stdout)
sys.stderr.write("without an end")
sys.stderr.write(" of its line\\n")
warnings.warn("an old name")
thread = threading.Thread(target=answer, args=("the patient's secret",), name="worker-1")
thread.start()
thread.join()
answer("the patient's secret")
"""


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO, requests.name)
    return caplog


def a_record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("core.x", logging.WARNING, __file__, 1, message, args, None)
    record.fields = fields
    return record


@given(st.text(st.characters()), st.text(st.characters(), max_size=300))
def test_whatever_is_told_is_one_json_object_on_one_short_line(message: str, value: str):
    line = JsonLines().format(a_record("%s", message * 40, path=value))

    assert "\n" not in line and line.isascii() and len(line) < MAX_LINE
    assert set(json.loads(line)) == {"time", "level", "logger", "message", "path"}


def test_a_long_traceback_keeps_its_beginning_and_its_end():
    def deep(n: int) -> None:
        if n == 0:
            raise KeyError("ü" * 3000 + "the end")
        deep(n - 1)

    try:
        deep(50)
    except KeyError:
        record = a_record("x" * 9000)
        record.exc_info = sys.exc_info()
    line = json.loads(text := JsonLines().format(record))

    assert len(text) < MAX_LINE and line["exception"] == "KeyError" and len(line["message"]) > 500
    assert line["traceback"].startswith("Traceback") and line["traceback"].endswith("the end'")


@pytest.mark.parametrize("form", [JsonLines(), TextLines()])
def test_no_key_stands_in_a_line(form: logging.Formatter):
    register_secret(SECRET)
    try:
        raise ValueError(f"sent {SECRET} and sk-abcdefghijklmnop")
    except ValueError:
        record = a_record("key %s", SECRET, model=f"{'m' * 150}{SECRET * 3}")
        record.exc_info = sys.exc_info()
    line = form.format(record)

    assert not [part for part in ("pass", "ü-of", "abcdefgh") if part in line.replace("\\u00fc", "ü")]


def test_a_call_is_one_line_without_its_texts_and_what_is_unknown_is_null(told: pytest.LogCaptureFixture):
    call = a_generation(
        "g_1", key_id="k_1", cost_usd=None, cost_status="unknown", ttft_s=None, latency_s=1.25, status="error",
        error_class="provider_error", usage=Usage(input_tokens=7, output_tokens=3), text="my answer", user_id="ada",
    )  # fmt: skip
    with request_under_way("/v1/chat/completions") as request:
        tell_call(call, CallFacts(overhead_s=0.0))
    tell_call(a_generation("g_2", cost_usd=Decimal("0.000000001")), CallFacts(overhead_s=0.0))
    first, second = (json.loads(JsonLines().format(record)) for record in told.records)

    wanted = {
        "id": "g_1", "key_id": "k_1", "status": "error", "error": "provider_error", "ms": 1250.0, "ttft_ms": None,
        "input_tokens": 7, "output_tokens": 3, "cost_usd": None, "path": "/v1/chat/completions",
    }  # fmt: skip
    assert wanted.items() <= first.items() and request.n_told == 1
    assert (second["cost_usd"], second["path"], second["key_id"]) == (1e-9, None, None)
    assert not [text for text in ("my answer", "ada", "Hello") if text in json.dumps([first, second])]


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_log_of_a_process_has_one_form_and_sentry_hears_where_it_failed_and_no_text(form: str, tmp_path: Path):
    sentry = FakeSentry()
    environ = {"AIMM_LOG_FORMAT": form, "SENTRY_DSN": sentry.dsn, "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", FAULTY], cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False
    )
    sentry.close()

    assert done.returncode == 1 and b"abcdefghijkl" not in done.stderr + done.stdout
    if form == "json":
        assert done.stdout == b""
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert {line["message"] for line in lines} >= {
            "printed \x1b[31mby somebody", "without an end of its line", "the thread worker-1 ended by an error: ValueError",
            "the process ended by an error: ValueError",
        }  # fmt: skip
        assert (
            len([line for line in lines if line.get("exception") == "ValueError" and "answer" in line["traceback"]])
            == 4
        )
        assert [line["level"] for line in lines if line["logger"] == "py.warnings"] == ["warning"]
    words = (b"patient", b"PATIENT", b"Bearer", b"authorization=", b"local_text", str(tmp_path).encode(), b"python -c")
    assert not [word for word in words if any(word in body for body in sentry.bodies)]
    assert [event["logger"] for event in sentry.events] == ["core.calls.engine", "asyncio", "aimm", "aimm"]
    assert sentry.events[0]["logentry"] == {"message": "a call failed unexpectedly: %s", "params": []}
    assert "logentry" not in sentry.events[1]
    [fault] = sentry.events[3]["exception"]["values"]
    assert (fault["type"], fault["stacktrace"]["frames"][-1]["function"]) == ("ValueError", "answer")


def test_what_is_printed_has_no_end_until_its_line_has(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, process_log.printed.name)
    out = process_log.Printed(sys.stdout, logging.INFO)

    print("a\n\nb", end="", file=out)
    assert caplog.messages == ["a"]
    print("c", file=out)
    assert caplog.messages == ["a", "bc"]
