"""Experiments at size: what a page costs at ten million outcomes, and how fast outcomes are recorded.

A million outcomes go in through `record`, the rest is multiplied in the tables: the pages read sums, and the sums of ten
times the rows are ten times the counts. Then the demo's verdicts over 200 seeds.

    python benchmarks/experiments.py
"""

import argparse
import json
import time
import urllib.request
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from common import median_ms, open_manager, print_table, serving, temporary_folder
from playwright.sync_api import sync_playwright
from sqlalchemy import text

from core import ModelManager, clock
from core.demo.history import experiments
from core.domain.experiment import OutcomeInput

BATCH = 10_000
N_SEEDS = 200


def filled(mm: ModelManager, name: str, n: int, rng: np.random.Generator) -> str:
    """An experiment with n outcomes of as many units, recorded in batches."""
    made = mm.experiments.create(name, ["sim-fast", "sim-balanced"], hypothesis="h")
    for start in range(0, n, BATCH):
        size = min(BATCH, n - start)
        wins, stars = rng.random(size) < 0.3, rng.integers(1, 6, size)
        rows = [
            OutcomeInput(unit_id=f"u{start + at}", variant=at % 2, success=bool(wins[at]), rating=float(stars[at]))
            for at in range(size)
        ]
        mm.experiments.record(made.id, rows)
    return made.id


def multiply(mm: ModelManager, experiment_id: str, times: int) -> None:
    """As if each unit and outcome had come so many times: copies of the rows, sums to match."""

    def work(connection: object) -> None:
        execute = connection.execute  # type: ignore[attr-defined]
        for copy in range(1, times):
            execute(
                text(
                    "INSERT INTO experiment_units SELECT 'a_' || :copy || substr(assignment_id, 3), experiment_id, phase, unit_id || :copy,"
                    " position, reason, created_at, n_exposed, n_multiple, n_outcomes, n_successes, n_ratings, rating_sum, n_numbers,"
                    " number_sum, n_calls, n_errors, n_ok, latency_sum_s, log_latency_sum, first_latency_us, n_priced, cost_nano_usd, tokens"
                    " FROM experiment_units WHERE experiment_id = :id AND length(assignment_id) = 30"
                ),
                {"id": experiment_id, "copy": f"{copy}-"},
            )
            execute(
                text(
                    "INSERT INTO experiment_outcomes SELECT id || :copy, experiment_id, phase, position, 'a_' || :copy || substr(assignment_id,"
                    " 3), generation_id, success, rating, number, text, state, created_at FROM experiment_outcomes"
                    " WHERE experiment_id = :id AND length(id) = 22"
                ),
                {"id": experiment_id, "copy": f"{copy}-"},
            )
        for table, names in (
            ("experiment_sums", ("n", "m_xx", "m_xy", "m_yy")),
            ("experiment_days", ("n_exposed", "n_outcomes", "n_successes")),
        ):
            changes = ", ".join(f"{name} = {name} * :times" for name in names)
            change = f"UPDATE {table} SET {changes} WHERE experiment_id = :id"  # noqa: S608 - names of our own
            execute(text(change), {"id": experiment_id, "times": times})

    mm._writer.run(work)


def timed(n: int, call: object) -> list[float]:
    found = []
    for _ in range(n):
        begun = time.perf_counter()
        call()  # type: ignore[operator]
        found.append(time.perf_counter() - begun)
    return found


def pages(address: str, names: list[str]) -> dict[str, list[float]]:
    """Seconds from choosing an experiment to its drawn charts, in headless Chromium."""
    found: dict[str, list[float]] = {name: [] for name in names}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(bypass_csp=True)
        page.goto(f"{address}/experiments")
        page.get_by_text("Effects", exact=True).first.wait_for()
        for _ in range(5):
            for name in names:
                page.get_by_label("Experiment", exact=True).click()
                option = page.get_by_role("option", name=name)
                option.wait_for()
                begun = time.perf_counter()
                option.click()
                page.get_by_text(f"hypothesis of {name}").first.wait_for()
                page.wait_for_function(
                    "document.querySelectorAll('[data-testid=stVegaLiteChart] :is(svg, canvas)').length >= 4"
                    " && !document.querySelector('[data-stale=true]')"
                )
                found[name].append(time.perf_counter() - begun)
        browser.close()
    return found


def sizes(folder: Path, n_recorded: int, times: int) -> None:
    database = folder / "sizes.db"
    rng = np.random.default_rng(5)
    with open_manager(database) as mm:
        ids = {"small": filled(mm, "small", 1000, rng)}
        begun = time.perf_counter()
        ids["large"] = filled(mm, "large", n_recorded, rng)
        per_batch = (time.perf_counter() - begun) / (n_recorded / BATCH)
        multiply(mm, ids["large"], times)
        change = text("UPDATE experiments SET hypothesis = :h WHERE id = :id")
        for name, experiment_id in ids.items():
            mm._writer.run(lambda c, n=name, i=experiment_id: c.execute(change, {"h": f"hypothesis of {n}", "id": i}) and None)  # fmt: skip
        in_process = {name: timed(30, lambda i=i: mm.experiments.report(i)) for name, i in ids.items()}
    with serving(database) as server:
        over_http = {
            name: timed(30, lambda i=i: urllib.request.urlopen(f"{server.address}/api/experiment/{i}/stats").read())
            for name, i in ids.items()
        }
        body = [{"user_id": f"v{n}", "variant": "variant_a", "success": n % 3 == 0, "rating": 4} for n in range(BATCH)]
        request = urllib.request.Request(
            f"{server.address}/api/experiment/{ids['small']}/record",
            json.dumps({"results": body}).encode(),
            {"Content-Type": "application/json"},
        )
        bulk = timed(1, lambda: urllib.request.urlopen(request).read())[0]
        drawn = pages(server.address, list(ids))
    n = n_recorded * times
    rows = [
        [f"{count:,}", f"{median_ms(in_process[name]):.1f} ms", f"{median_ms(over_http[name]):.1f} ms", f"{median_ms(drawn[name]):,.0f} ms"]
        for name, count in (("small", 1000), ("large", n))
    ]  # fmt: skip
    print_table("What an experiment costs", ("outcomes", "report", "GET …/stats", "page"), rows)
    size = database.stat().st_size / 1e9
    print(
        f"\n10,000 outcomes of new units: {per_batch:.2f} s in process, {bulk:.2f} s in one request. File: {size:.1f} GB."
    )


def verdict(seed: int) -> list[tuple[str, str]]:
    """(experiment, first words of its verdict) of the demo made from one seed."""
    with temporary_folder() as folder, open_manager(folder / "seed.db") as mm:
        mm._writer.run(lambda connection: experiments(connection, np.random.default_rng(seed), clock.now_us()))
        reports = [mm.experiments.report(experiment.id) for experiment in mm.experiments.all()]
        return [(report.experiment.name, report.decision.headline.split(":")[0]) for report in reports]


def verdicts() -> None:
    """The words of the demo's verdicts over many seeds."""
    with Pool(2) as pool:
        found = Counter(pair for pairs in pool.map(verdict, range(N_SEEDS)) for pair in pairs)
    rows = [[name, words, n] for (name, words), n in sorted(found.items())]
    print_table(f"Verdicts of the demo over {N_SEEDS} seeds", ("experiment", "words", "seeds"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recorded", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=10)
    args = parser.parse_args()
    with temporary_folder() as folder:
        sizes(folder, args.recorded, args.times)
    verdicts()


if __name__ == "__main__":
    main()
