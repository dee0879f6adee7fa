"""Batches in their middle: killed, closed, cancelled, too late; each line is in the output once, and none is asked twice."""

import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest

from core import ModelManager, RateLimited, clock
from core.config import Settings
from core.domain.batches.batch import Batch
from core.runs.pace import WIDTH, Pace
from tests.conftest import Open, SetClock
from tests.core.batches.sent import ended, in_the_middle, made, results, serving

N = 40
CHILD = """
import os, sys
from core import ModelManager
from core.config import Settings
from tests.core.batches.sent import in_the_middle, made, serving
mm = serving(ModelManager.open(Settings(database_url=sys.argv[1], simulated_speed=20)))
in_the_middle(mm, made(mm, ["sim-fast"] * int(sys.argv[2])).id)
os.kill(os.getpid(), 9)
"""


def answered(mm: ModelManager, batch: Batch) -> Counter[str | None]:
    return Counter(call.ref_part for call in mm.log.by_ref(batch.id) if call.status == "ok")


def test_a_vendor_that_takes_fewer_gets_half_as_many_and_is_left_alone_as_long_as_it_says():
    pace = Pace()
    pace.heard(RateLimited("slower", retry_after_s=300), now=10.0)
    pace.heard(RateLimited("slower", retry_after_s=200), now=11.0)  # asked together with the first
    assert (pace.width, pace.until) == (WIDTH / 2, 310.0)

    pace.heard(RateLimited("slower"), now=320.0)
    assert pace.width == WIDTH / 4
    assert 321.0 < pace.until <= 324.0
    for _ in range(2 * WIDTH):
        pace.heard(None, now=330.0)
    assert pace.width == WIDTH


def the_only(mm: ModelManager) -> Batch:
    [[batch], _] = mm.batches.page(None, 10)
    return batch


def test_a_killed_batch_goes_on_and_no_answer_is_asked_twice(open_manager: Open, database_url: str):
    done = subprocess.run([sys.executable, "-c", CHILD, database_url, str(N)], timeout=120, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()

    mm = serving(open_manager(database_url))
    batch = ended(mm, the_only(mm).id)

    assert (batch.phase, batch.n_ok, batch.n_failed) == ("completed", N, 0)
    assert [each["custom_id"] for each in results(mm, batch.output_file_id)] == [str(at) for at in range(N)]
    assert answered(mm, batch) == Counter(str(at + 1) for at in range(N))
    lost = [call for call in mm.log.by_ref(batch.id) if call.status != "ok"]
    assert {(call.error_class, call.cost_status) for call in lost} == {("interrupted", "estimated")}
    assert mm.monitoring.differences() == []


def test_an_orderly_end_in_the_middle_is_taken_up_by_the_next_process(open_manager: Open, sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url, simulated_speed=20)) as first:
        batch = made(serving(first), ["sim-fast"] * N)
        in_the_middle(first, batch.id)

    mm = serving(open_manager(sqlite_url))
    batch = ended(mm, batch.id)

    assert (batch.phase, batch.n_ok) == ("completed", N)
    assert answered(mm, batch) == Counter(str(at + 1) for at in range(N))
    assert {call.status for call in mm.log.by_ref(batch.id)} <= {"ok", "stopped"}


def test_what_is_being_asked_ends_when_a_batch_is_cancelled(sqlite_url: str):
    with ModelManager.open(Settings(database_url=sqlite_url, simulated_speed=20)) as mm:
        batch = made(serving(mm), ["sim-fast"] * N)
        in_the_middle(mm, batch.id)
        assert mm.batches.cancel(batch.id, None).phase == "cancelling"
        batch = ended(mm, batch.id)

        assert batch.phase == "cancelled"
        assert batch.n_ok == sum(answered(mm, batch).values()) > 0
        failed = results(mm, batch.error_file_id)
        assert {each["error"]["code"] for each in failed} == {"batch_cancelled"}
        given = [*results(mm, batch.output_file_id), *failed]
        assert sorted(int(each["custom_id"]) for each in given) == list(range(N))


def test_what_is_not_asked_in_time_expires(open_manager: Open, sqlite_url: str, set_clock: SetClock):
    with ModelManager.open(Settings(database_url=sqlite_url, simulated_speed=20)) as first:
        batch = made(serving(first), ["sim-fast"] * N)
        in_the_middle(first, batch.id)
    set_clock(clock.now() + timedelta(hours=24))

    mm = serving(open_manager(sqlite_url))
    batch = ended(mm, batch.id)

    assert batch.phase == "expired"
    assert {each["error"]["code"] for each in results(mm, batch.error_file_id)} == {"batch_expired"}
    assert len(results(mm, batch.output_file_id)) + len(results(mm, batch.error_file_id)) == N


def test_files_go_when_their_time_is_up(open_manager: Open, sqlite_url: str, set_clock: SetClock):
    mm = serving(open_manager(sqlite_url))
    batch = ended(mm, made(mm, ["sim-fast"]).id)
    set_clock(clock.now() + timedelta(days=29))
    mm.batches.files.forget_old()
    assert len(results(mm, batch.output_file_id)) == 1

    set_clock(clock.now() + timedelta(days=2))
    mm.batches.files.forget_old()

    assert mm.batches.files.page(None, 10) == ([], False)
    with mm.database.read() as connection:
        held = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM file_chunks) + (SELECT count(result) FROM batch_lines)"
        ).scalar()
    assert held == 0


@pytest.mark.parametrize("log_content", ["metadata", "none"])
def test_where_no_texts_are_kept_the_prompts_go_with_the_end_and_the_answers_after_a_day(
    open_manager: Open, sqlite_url: str, log_content: str, set_clock: SetClock
):
    mm = serving(open_manager(sqlite_url, log_content=log_content))
    batch = ended(mm, made(mm, ["sim-fast"]).id)

    assert [file.id for file in mm.batches.files.page(None, 10)[0]] == [batch.output_file_id]
    assert len(results(mm, batch.output_file_id)) == 1
    set_clock(clock.now() + timedelta(days=1, seconds=1))
    mm.batches.files.forget_old()
    assert mm.batches.files.page(None, 10) == ([], False)
