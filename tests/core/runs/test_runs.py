"""Runs of every kind: killed, closed, stopped and taken up, and nothing that was answered is asked again."""

import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from core import Conflict, ModelManager
from core.calls.origin import Origin
from core.config import Settings
from core.domain.comparison import Candidate
from core.domain.generation import Generation
from core.runs.dbos_runtime import DbosRuntime
from tests.conftest import Open
from tests.core.runs.kinds import CANDIDATES, KINDS, Kind

CHILD = """
import os, sys
from core import ModelManager
from core.config import Settings
from tests.core.runs.kinds import KINDS
kind = next(kind for kind in KINDS if kind.name == sys.argv[2])
mm = ModelManager.open(Settings(database_url=sys.argv[1]))
kind.reach_the_middle(mm, kind.start(mm))
os.kill(os.getpid(), 9)
"""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def killed(kind: Kind, url: str) -> None:
    """Let another process begin a run and die in the middle of it."""
    done = subprocess.run([sys.executable, "-c", CHILD, url, kind.name], timeout=180, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()


def only(kind: Kind, mm: ModelManager) -> str:
    service = kind.service(mm)
    [run] = service.runs() if kind.name == "workflow" else service.latest()
    return str(run.id)


def answered(mm: ModelManager, run_id: str) -> Counter[str | None]:
    """How often each part was answered whole."""
    return Counter(call.ref_part for call in mm.log.by_ref(run_id) if call.status == "ok")


def lost(mm: ModelManager, run_id: str) -> list[Generation]:
    return [call for call in mm.log.by_ref(run_id) if call.status != "ok"]


def test_a_killed_run_goes_on_and_no_answer_is_asked_twice(kind: Kind, open_manager: Open, database_url: str):
    killed(kind, database_url)

    mm = open_manager(database_url)
    run_id = only(kind, mm)
    kind.service(mm).wait(run_id, 60)

    assert kind.status(mm, run_id) == kind.done
    assert answered(mm, run_id) == Counter(kind.parts)
    assert mm.monitoring.differences() == []


@pytest.mark.parametrize(
    ("kind", "database_url"),
    [(KINDS[0], "sqlite"), pytest.param(KINDS[1], "postgresql", marks=pytest.mark.postgres)],
    ids=lambda value: getattr(value, "name", value),
    indirect=True,
)
def test_a_living_process_takes_over_from_one_that_dies(kind: Kind, open_manager: Open, database_url: str):
    mm = open_manager(database_url)
    killed(kind, database_url)

    run_id = only(kind, mm)
    kind.service(mm).wait(run_id, 60)

    assert kind.status(mm, run_id) == kind.done
    assert answered(mm, run_id) == Counter(kind.parts)


def test_an_orderly_end_in_the_middle_is_taken_up_by_the_next_process(
    kind: Kind, open_manager: Open, database_url: str
):
    with ModelManager.open(Settings(database_url=database_url)) as first:
        run_id = kind.start(first)
        kind.reach_the_middle(first, run_id)

    mm = open_manager(database_url)
    kind.service(mm).wait(run_id, 60)

    assert kind.status(mm, run_id) == kind.done
    assert answered(mm, run_id) == Counter(kind.parts)


def test_a_run_is_stopped_and_resumed(kind: Kind, sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url)) as mm:
        run_id = kind.start(mm)
        kind.reach_the_middle(mm, run_id)
        kind.stop(mm, run_id)
        assert kind.status(mm, run_id) in ("cancelled", "stopped")
        with pytest.raises(Conflict):
            kind.stop(mm, run_id)
        kind.service(mm).wait(run_id, 30)

        kind.service(mm).resume(run_id)
        kind.service(mm).wait(run_id, 60)

        assert kind.status(mm, run_id) == kind.done
        assert answered(mm, run_id) == Counter(kind.parts)
        assert {call.status for call in lost(mm, run_id)} == {"stopped"}


# Comparisons


COMPARISON = KINDS[1]


def test_the_calls_of_a_killed_comparison_are_on_record(open_manager: Open, database_url: str):
    killed(COMPARISON, database_url)
    looks_only = open_manager(database_url, takes_up=False)
    [listed] = looks_only.comparisons.latest()
    assert (listed.status, looks_only.comparisons.get(listed.id).status) == ("interrupted", "interrupted")
    before = {call.ref_part for call in looks_only.log.by_ref(listed.id)}

    mm = open_manager(database_url)
    whole = mm.comparisons.wait(listed.id, 60)

    gone = lost(mm, listed.id)
    assert {(g.status, g.error_class, g.cost_status) for g in gone} == {("error", "interrupted", "estimated")}
    assert sorted(g.ref_part or "" for g in gone) == sorted(set(COMPARISON.parts) - before)
    assert all(candidate.can_win for candidate in whole.candidates)
    assert mm.comparisons.resume(listed.id) == 0


def test_a_stop_reaches_the_process_that_asks(open_manager: Open, database_url: str):
    with ModelManager.open(Settings(database_url=database_url)) as first:
        run_id = COMPARISON.start(first)
        COMPARISON.reach_the_middle(first, run_id)
        second = open_manager(database_url)

        second.comparisons.stop(run_id)

        stopped = second.comparisons.get(run_id)
        assert stopped.status == "stopped"
        assert {c.generation.status for c in stopped.candidates if c.generation} == {"ok", "stopped"}
        assert second.comparisons.resume(run_id) == sum(c.error == "stopped" for c in stopped.candidates)
        second.comparisons.wait(run_id, 60)

    assert second.comparisons.get(run_id).status == "finished"
    assert answered(second, run_id) == Counter(COMPARISON.parts)


def test_what_is_left_of_the_cap_holds_after_a_restart(open_manager: Open, sqlite_url: str):
    cap = Decimal("0.6")
    with ModelManager.open(Settings(database_url=sqlite_url)) as first:
        run_id = first.comparisons.start("Tell of the sea.", CANDIDATES, cap_usd=cap)
        COMPARISON.reach_the_middle(first, run_id)

    mm = open_manager(sqlite_url)
    mm.comparisons.wait(run_id, 60)

    assert mm.comparisons.get(run_id).cap_usd == cap
    assert sum(call.cost_usd or Decimal(0) for call in mm.log.by_ref(run_id)) <= cap


@pytest.mark.parametrize("why", ["key", "prompt"])
def test_what_may_not_be_asked_again_stays_interrupted(open_manager: Open, sqlite_url: str, why: str):
    log_content = "metadata" if why == "prompt" else "full"
    with ModelManager.open(Settings(database_url=sqlite_url, log_content=log_content)) as first:
        key, _ = first.keys.create("ci")
        origin = Origin(source="api", key=key if why == "key" else None)
        run_id = first.comparisons.start("Tell of the sea.", CANDIDATES, origin=origin)
        COMPARISON.reach_the_middle(first, run_id)
        first.keys.revoke(key.id)

    mm = open_manager(sqlite_url)
    found = mm.comparisons.wait(run_id, 30)

    assert found.status == "interrupted"
    assert {"ok", "stopped"} == {c.generation.status for c in found.candidates if c.generation}
    with pytest.raises(Conflict, match="no longer valid" if why == "key" else "not kept"):
        mm.comparisons.resume(run_id)


def test_a_failing_candidate_fails_only_its_column_after_a_restart(open_manager: Open, sqlite_url: str):
    broken = Candidate(position=0, model="sim-fast", system="[[fail:block]]")
    with ModelManager.open(Settings(database_url=sqlite_url)) as first:
        run_id = first.comparisons.start("Tell of the sea.", [*CANDIDATES, broken])
        COMPARISON.reach_the_middle(first, run_id)

    mm = open_manager(sqlite_url)
    found = mm.comparisons.wait(run_id, 60)

    assert (found.status, [c.can_win for c in found.candidates[:6]]) == ("finished", [True] * 6)


def test_a_manager_that_could_not_begin_is_in_nobodys_way(
    open_manager: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(_: DbosRuntime) -> None:
        raise ValueError("the standard error is closed")

    mm = open_manager(f"sqlite:///{tmp_path}/first.db")
    with monkeypatch.context() as patch:
        patch.setattr(DbosRuntime, "_begin", fails)
        with pytest.raises(ValueError, match="closed"):
            mm.workflows.start("content_generation", "Tea", model="sim-fast")

    other = open_manager(f"sqlite:///{tmp_path}/second.db")
    run = other.workflows.start("content_generation", "Tea", model="sim-fast")
    assert other.workflows.wait(run, 60).status == "succeeded"
