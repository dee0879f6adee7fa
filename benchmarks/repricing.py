"""Measures back-pricing: calls of a model without a price, charged with one in one transaction.

A million real, unpriced calls over 90 days; then a preview, the change itself, and a comparison of all rollups with the
raw rows. Then the same is killed with -9 in the middle, and the books are looked at again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from common import NO_VENDOR, ROOT, print_table, temporary_folder

sys.path.insert(0, str(ROOT))
from core import ModelManager
from core.clock import DAY_US, now_us
from core.config import Settings
from core.storage.calls.record import log_rows
from tests.fakes.gemini import KEY

MODEL = "gemini-without-a-price"
CHUNK = 20_000
CHILD = """
import sys, time
from core import ModelManager
from core.config import Settings
mm = ModelManager.open(Settings(database_url=sys.argv[1]), takes_up=False)
print("go", flush=True)
mm.repricing.reprice("gemini", sys.argv[2])
"""


def fill(mm: ModelManager, n: int) -> None:
    rng, now = np.random.default_rng(7), now_us()
    template = {
        "response_model": MODEL, "request_model": MODEL, "provider": "gemini", "source": "api", "status": "ok", "error_class": "",
        "error_message": "", "finish_reason": "stop", "audio_tokens": 0, "cached_audio_tokens": 0, "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0, "output_audio_tokens": 0, "n_searches": 0, "storage_token_hours": 0, "saved_nano_usd": 0,
        "usages": "", "service_tier": "standard", "cost_nano_usd": None, "input_nano_usd": 0, "cached_nano_usd": 0,
        "cost_status": "unknown", "price_id": "", "n_attempts": 1, "ref_id": None, "ref_part": None, "ref_name": "", "user_id": "",
        "key_id": "", "note": "",
    }  # fmt: skip
    for start in range(0, n, CHUNK):
        moments = now - rng.integers(0, 90 * DAY_US, CHUNK)
        tokens = rng.lognormal(6.5, 1.5, CHUNK).astype(np.int64) + 1
        output = rng.lognormal(5, 1, CHUNK).astype(np.int64) + 1
        latency = rng.lognormal(14, 0.5, CHUNK).astype(np.int64)
        rows = [
            template | {
                "id": f"g_{start + at:09x}", "created_at": moment, "input_tokens": size, "cached_tokens": size // 3,
                "output_tokens": out, "thinking_tokens": out // 4, "latency_us": took, "ttft_us": took // 4,
                "tags": f",t{at % 5},",
            }
            for at, (moment, size, out, took) in enumerate(
                zip(moments.tolist(), tokens.tolist(), output.tolist(), latency.tolist(), strict=True)
            )
        ]  # fmt: skip
        mm._writer.run(lambda connection, rows=rows: log_rows(connection, rows, []))


@contextmanager
def opened(url: str) -> Iterator[ModelManager]:
    with ModelManager.open(Settings(database_url=url, keys={"gemini": KEY}), takes_up=False) as mm:
        yield mm


def set_price(mm: ModelManager) -> None:
    above = {200_000: {"input": "2.5", "output": "15"}}
    row = {"provider": "gemini", "model": MODEL, "input": "1.25", "cached": "0.3125", "output": "10", "above": above}
    mm.prices.set_price(row | {"discount_percent": "7.5"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=3)
    args = parser.parse_args()
    with temporary_folder() as folder:
        url = f"sqlite:///{folder}/full.db"
        with opened(url) as mm:
            fill(mm, args.calls)
            mm.budgets.create("month", 1000)
            set_price(mm)
        shutil.copy(folder / "full.db", folder / "killed.db")
        rows = [("kill -9", *killed(f"sqlite:///{folder}/killed.db", number)) for number in range(args.kills)]
        with opened(url) as mm:
            began = time.perf_counter()
            days = mm.repricing.preview("gemini", MODEL)
            previewed = time.perf_counter() - began
            began = time.perf_counter()
            n = mm.repricing.reprice("gemini", MODEL)
            took = time.perf_counter() - began
            total = sum(day.after_usd for day in days)
            recorded = sum(row["cost_nano_usd"] for row in mm.log.all_rows()) / 1e9
            differences = len(mm.monitoring.differences())
        assert n == args.calls, n
        head = ("calls", "preview s", "change s", "preview $", "recorded $", "differences")
        print_table("back-pricing", head, [(f"{n:,}", f"{previewed:.1f}", f"{took:.1f}", f"{total:.4f}", f"{recorded:.4f}", differences)])  # fmt: skip
        print_table("killed while it runs", ("", "after s", "priced", "of", "differences", "audit entries"), rows)


def killed(url: str, number: int) -> tuple[object, ...]:
    """Kill it at another moment each time; how many calls have a cost afterwards: none, or all."""
    command = [sys.executable, "-c", CHILD, url, MODEL]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **NO_VENDOR})
    assert process.stdout is not None
    process.stdout.readline()
    wait_s = 1.0 + 6.0 * number
    time.sleep(wait_s)
    process.kill()
    process.wait()
    with opened(url) as mm:
        priced = sum(row["cost_nano_usd"] is not None for row in mm.log.all_rows())
        audit = [entry for entry in mm.prices.audit() if entry.action == "calls repriced"]
        n = mm.log.count()
        return f"{wait_s:.1f}", f"{priced:,}", f"{n:,}", len(mm.monitoring.differences()), len(audit)


if __name__ == "__main__":
    main()
