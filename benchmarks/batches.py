"""Measures a batch of 10,000 lines whose server dies in the middle: each line once, sums right, time and memory.

The server is `aimm serve` before a fake vendor on OpenAI's wire, with a budget that sets the worst case of all lines aside. It is
killed with `kill -9` when about half of the lines are answered, and started again on the same database. Then each line must be in the
output once, with one answered call in the log, and the cost must be the vendor's price times what it counted.
"""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
from common import NO_VENDOR, free_port, open_manager, print_table, temporary_folder, url_of, wait_until
from gateway_servers import aimm, clean_environ, launched, vendor
from gateway_vendor import KEY, USAGE

N_LINES = int(os.environ.get("AIMM_BENCH_LINES", "10000"))
MODEL, ENDPOINT = "gpt-4o", "/v1/chat/completions"
IN_USD, OUT_USD = Decimal("2.5") / 1_000_000, Decimal(10) / 1_000_000  # as OpenAI has published them
COST = USAGE["prompt_tokens"] * IN_USD + USAGE["completion_tokens"] * OUT_USD
OVER = ("completed", "failed", "expired", "cancelled")


def main() -> None:
    with temporary_folder() as folder, vendor() as faked:
        environ = clean_environ() | NO_VENDOR | {"ANTHROPIC_BASE_URL": "", "DATABASE_URL": url_of(folder / "aimm.db")}
        environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{faked.port}/v1"}
        made = re.search(r"aimm_\S+", aimm(folder, environ, "keys", "create", "bench", "--scope", "call"))
        assert made
        with open_manager(folder / "aimm.db") as mm:
            mm.budgets.create("bench", 1_000_000, action="stop")
        port, rows = free_port(), []
        command = [sys.executable, "-m", "core.cli.__main__", "serve", "--host", "127.0.0.1", "--port", str(port)]
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=made[0], max_retries=5)
        begun = time.monotonic()
        with launched(command, port, folder, environ, "/health") as server:
            idle_mb = server.rss_mb()
            batch = begin(client)
            wait_until(lambda: done(client, batch.id) >= N_LINES // 2, 900, "half was not answered")
            rows.append(
                ("until kill -9", f"{time.monotonic() - begun:.0f} s", f"{idle_mb:.0f}", f"{server.rss_mb():.0f}")
            )
            server.kill()
        again, most_mb = time.monotonic(), 0.0
        with launched(command, port, folder, environ, "/health") as server:
            idle_mb = server.rss_mb()
            while (batch := client.batches.retrieve(batch.id)).status not in OVER:
                most_mb = max(most_mb, server.rss_mb())
                time.sleep(0.2)
            rows.append(("after it", f"{time.monotonic() - again:.0f} s", f"{idle_mb:.0f}", f"{most_mb:.0f}"))
            output = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
        print_table(f"{N_LINES:,} lines", ("part", "time", "MB idle", "MB at most"), rows)
        check(folder, batch, output)


def begin(client: openai.OpenAI) -> Any:
    body = {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    lines = ({"custom_id": str(n), "method": "POST", "url": ENDPOINT, "body": body} for n in range(N_LINES))
    data = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
    file = client.files.create(file=("lines.jsonl", data), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")


def done(client: openai.OpenAI, batch_id: str) -> int:
    time.sleep(0.1)
    counts = client.batches.retrieve(batch_id).request_counts
    assert counts is not None
    return counts.completed


def check(folder: Path, batch: Any, output: list[dict[str, Any]]) -> None:
    assert [each["custom_id"] for each in output] == [str(n) for n in range(N_LINES)], "a line is missing or doubled"
    with open_manager(folder / "aimm.db") as mm:
        calls = mm.log.by_ref(batch.id)
        [status] = mm.budgets.statuses()
        differences = [*mm.budgets.differences(), *mm.monitoring.differences()]
    answered = Counter(call.ref_part for call in calls if call.status == "ok")
    lost = [call for call in calls if call.status != "ok"]
    assert len(answered) == N_LINES and set(answered.values()) == {1}, "a line was answered twice"
    assert sum(call.cost_usd or 0 for call in calls if call.status == "ok") == COST * N_LINES
    assert status.spent_usd == sum(call.cost_usd or Decimal(0) for call in calls)
    assert status.reserved_usd == 0
    assert differences == [], differences
    assert {call.error_class for call in lost} <= {"interrupted"}
    print(
        f"\n{len(output):,} lines in the output, each once; {len(lost)} calls under way at the kill, at an estimated cost;"
    )
    print(f"answered ones cost ${COST * N_LINES:f}, as the published price says; nothing is left reserved.")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(str(error))
