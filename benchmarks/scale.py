"""Measures what many budgets, keys and prices add to a call: a gateway with 500 budgets, 3,500 keys and 2,000 own prices beside
an empty one.

Requests with a key go to both by turns, with the same fake vendor behind. 11 of the budgets cover the calls, as the tags, key and user of a busy caller would; the others are other
callers'. Every budget stops calls and may be passed by none.
"""

import secrets
import statistics
import sys
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

from common import ROOT, print_table, temporary_folder

sys.path.insert(0, str(ROOT))
from core.clock import now_us
from core.domain.budget import Budget
from core.storage.money import ledger
from core.storage.money.budgets import BudgetStore
from core.storage.money.prices import PriceStore
from tests.builders import GPT, HELLO, Running, running_gateway

N_BUDGETS, N_KEYS, N_PRICES, N_TAGS = 500, 3_500, 2_000, 8
N_WARM, N_CALLS, N_ROUNDS = 40, 150, 2
LIMIT = 1.3


def main() -> None:
    with temporary_folder() as folder:
        addresses = [f"sqlite:///{folder}/{name}.db" for name in ("empty", "full")]
        keys = [prepared(url, is_full) for url, is_full in zip(addresses, (False, True), strict=True)]
        wall: tuple[list[float], list[float]] = ([], [])
        cpu: tuple[list[float], list[float]] = ([], [])
        for _ in range(N_ROUNDS):  # one at a time, by turns: what one does in the background must not slow the other
            for at, (url, key) in enumerate(zip(addresses, keys, strict=True)):
                with running_gateway(url) as served:
                    measure(served, key, wall[at], cpu[at])
        names = ("empty", f"{N_BUDGETS} budgets, {N_KEYS:,} keys, {N_PRICES:,} own prices")
        medians = [(statistics.median(wall[at]), statistics.mean(cpu[at])) for at in (0, 1)]
    rows = [(name, f"{each[0]:.2f}", f"{each[1]:.2f}") for name, each in zip(names, medians, strict=True)]
    head = ("", "median ms", "processor ms")
    print_table("A call through the gateway, client and vendor in the same process", head, rows)
    (empty_ms, empty_cpu), (full_ms, full_cpu) = medians
    print(
        f"\n{full_ms / empty_ms:.2f} times an empty database ({full_cpu / empty_cpu:.2f} by processor time); promised is {LIMIT}."
    )


def measure(served: Running, key: str, wall_ms: list[float], cpu_ms: list[float]) -> None:
    """Add the time of each call, and the processor time of a call on average, background work included."""
    for number in range(N_WARM + N_CALLS):
        if number == N_WARM:
            cpu = time.process_time()
        begun = time.perf_counter()
        served.chat(GPT, HELLO, key=key, user="u1", max_tokens=20)
        if number >= N_WARM:
            wall_ms.append((time.perf_counter() - begun) * 1000)
    cpu_ms.append((time.process_time() - cpu) * 1000 / N_CALLS)
    assert served.books_agree(), "the budgets' books are not what the log says"


def prepared(url: str, is_full: bool) -> str:
    """A database with a key, whose text this is."""
    with running_gateway(url) as served:
        key = served.mm.keys.create("caller", tags=[f"tag{n}" for n in range(N_TAGS)])[1]
        if is_full:
            fill(served, [f"tag{n}" for n in range(N_TAGS)])
            assert len(served.mm.budgets.statuses()) == N_BUDGETS
    return key


def fill(served: Running, tags: list[str]) -> None:
    """Other callers' budgets, keys and prices, written in one transaction."""
    mm = served.mm
    mine = ["all", "provider:openai", "user:u1", *(f"tag:{tag}" for tag in tags)]
    others = [f"{('user', 'tag', 'key')[n % 3]}:other{n}" for n in range(N_BUDGETS - len(mine))]

    def work(connection: Any) -> None:
        for number, scope in enumerate([*mine, *others]):
            budget = Budget(
                id=f"b_{number}", name=f"budget {number}", limit_usd=Decimal(10_000), scope=scope, action="stop",
                period=("month", "week", "day")[number % 3], thresholds=(0.5, 0.8, 1.0), forecast_thresholds=(1.0,) if number % 5 == 0 else (),
            )  # fmt: skip
            BudgetStore.insert(connection, budget, now_us())
            ledger.replace_spend(connection, budget.id, {})
        for number in range(N_PRICES):
            row = {"provider": "openai", "model": f"own-model-{number}", "input": 1, "output": 2}
            PriceStore.add_own(connection, f"p_{number}", row)

    mm._writer.run(work)
    mm.budgets._forget()
    mm.prices.refresh()
    template = mm.keys.create("other", tags=["x"])[0]

    def add_keys(connection: Any) -> None:
        for number in range(N_KEYS - 2):
            key = replace(template, id=f"k_{number}", name=f"other {number}")
            mm.keys._store.insert(connection, key, secrets.token_hex(32))

    mm._writer.run(add_keys)
    mm.keys.refresh()


if __name__ == "__main__":
    main()
