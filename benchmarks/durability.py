"""Measures what `kill -9` costs: answered calls that are missing afterwards, and steps of a run that are paid twice.

Calls: 200 parallel POST /api/generate against the real server, which is killed when about half are answered. Whatever
was answered must be in the reopened file, the file must be whole, and rollups must agree with raw rows. Runs: a child
process starts a workflow and is killed in its second step; the next process takes the run up by itself.
"""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path

from common import NO_VENDOR, ROOT, open_manager, print_table, serving, temporary_folder, wait_until

N_CALLS, N_ROUNDS = 200, 3
MODEL = "sim-balanced"
CHILD = """
import sys, time
from common import open_manager
from pathlib import Path

with open_manager(Path(sys.argv[1])) as mm:
    run_id = mm.workflows.start("content_generation", "The sea in winter", model="sim-careful")
    while True:
        call = mm.workflows.live(run_id)
        if mm.workflows.run(run_id).steps[1].status == "running" and call and call.text:
            print("in step 2", flush=True)
        time.sleep(0.005)
"""


def main() -> None:
    rows = [calls_round(number) for number in range(1, N_ROUNDS + 1)]
    head = ("round", "sent", "answered", "refused", "recorded", "missing", "integrity", "differences")
    print_table(f"kill -9 amid {N_CALLS} parallel calls of {MODEL}", head, rows)
    for number in range(1, N_ROUNDS + 1):
        rows, status = run_round()
        title = f"kill -9 in step 2 of content_generation, round {number}: {status} after reopening"
        print_table(title, ("step", "status", "n_attempts", "generations"), rows)


def calls_round(number: int) -> tuple[object, ...]:
    with temporary_folder() as folder:
        database = folder / "aimm.db"
        answered, n_refused = killed_amid_calls(database)
        with closing(sqlite3.connect(database)) as connection:
            [[integrity]] = connection.execute("PRAGMA integrity_check").fetchall()
        with open_manager(database) as mm:
            recorded = {row["id"] for row in mm.log.all_rows()}
            differences = mm.monitoring.differences()
    missing = set(answered) - recorded
    assert not missing, f"answered, and lost: {sorted(missing)}"
    assert integrity == "ok", integrity
    assert differences == [], differences
    return number, N_CALLS, len(answered), n_refused, len(recorded), len(missing), integrity, len(differences)


def killed_amid_calls(database: Path) -> tuple[list[str], int]:
    """The ids of the calls that were answered before the kill, and how many the server answered with an error."""
    answered: list[str] = []
    refused: list[str] = []
    lock = threading.Lock()

    def ask(address: str, number: int) -> None:
        body = json.dumps({"prompt": f"Why is the sky blue? Number {number}.", "model": MODEL}).encode()
        request = urllib.request.Request(f"{address}/api/generate", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                generation_id = json.load(response)["id"]
        except urllib.error.HTTPError as error:
            with lock:
                refused.append(error.read().decode())
        except (OSError, HTTPException, ValueError):
            return  # the connection died with the server
        else:
            with lock:
                answered.append(generation_id)

    with serving(database) as server, ThreadPoolExecutor(N_CALLS) as pool:
        calls = [pool.submit(ask, server.address, number) for number in range(N_CALLS)]
        try:
            wait_until(lambda: len(answered) + len(refused) >= N_CALLS // 2, 60, "the calls were not answered")
        finally:
            server.kill()
        wait(calls)
    return answered, len(refused)


def run_round() -> tuple[list[tuple[object, ...]], str]:
    """Rows of (step, status, n_attempts, generations), and what became of the run."""
    with temporary_folder() as folder:
        database = folder / "aimm.db"
        kill_in_second_step(database)
        with open_manager(database) as mm:
            [run] = mm.workflows.runs()
            run = mm.workflows.wait(run.id, 60)
            parts = [call.ref_part for call in mm.log.by_ref(run.id)]
    counted = [(step, parts.count(step.step)) for step in run.steps]
    assert run.status == "succeeded", run.error
    assert all(n == 1 for _, n in counted), parts
    return [(step.step, step.status, step.n_attempts, n) for step, n in counted], run.status


def kill_in_second_step(database: Path) -> None:
    environ = os.environ | NO_VENDOR | {"PYTHONPATH": str(ROOT / "benchmarks")}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(database)], cwd=ROOT, env=environ, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline(), "the child ended before its second step"
    finally:
        with suppress(ProcessLookupError):
            child.kill()  # SIGKILL
        child.communicate()


if __name__ == "__main__":
    main()
