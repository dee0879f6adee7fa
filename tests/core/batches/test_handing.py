"""A batch at its vendor when our process is killed: it is created once, and each line is recorded and paid once."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from core import clock
from tests.builders import GPT, until
from tests.conftest import Open, SetClock
from tests.core.batches.sent import ended, made, results, serving
from tests.fakes.vendors import KEY, FakeVendor

N = 30
COST = (10 * Decimal("0.0000025") + 5 * Decimal("0.00001")) / 2
CHILD = """
import os, sys, time
from core import ModelManager
from core.batches import handing
from core.providers.openai.batches import OpenAIBatches
from tests.builders import settings_of
from tests.core.batches.sent import made, serving

database_url, base_url, key, n, where = sys.argv[1:]
handing.POLL_S = handing.LOOK_S = 0.02
create, write, written = OpenAIBatches.create, handing.outcome, []

async def created(self, *given):
    await create(self, *given)
    os.kill(os.getpid(), 9)

def some_written(*given):
    written.append(1)
    if len(written) > int(n) // 2:
        os.kill(os.getpid(), 9)
    return write(*given)

if where == "created":
    OpenAIBatches.create = created
else:
    handing.outcome = some_written
mm = serving(ModelManager.open(settings_of(database_url=database_url, openai_api_key=key, openai_base_url=base_url)))
made(mm, ["gpt-4o"] * int(n))
time.sleep(60)
"""


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    fake = FakeVendor()
    fake.batches.is_on = True
    yield fake
    fake.close()


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"POLL_S": 0.02, "LOOK_S": 0.02, "GRACE_S": 0.1}.items():
        monkeypatch.setattr(f"core.batches.handing.{name}", value)


@pytest.mark.parametrize(
    ("database_url", "where"),
    [("sqlite", "created"), pytest.param("postgresql", "read", marks=pytest.mark.postgres)],
    indirect=["database_url"],
)
def test_a_killed_process_neither_creates_a_batch_twice_nor_pays_a_line_twice(
    open_manager: Open, database_url: str, vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, where: str
):
    address = f"{vendor.url}/v1"
    asked = [sys.executable, "-c", CHILD, database_url, address, KEY, str(N), where]
    done = subprocess.run(asked, timeout=120, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    quick(monkeypatch)

    mm = serving(open_manager(database_url, openai_api_key=KEY, openai_base_url=address))
    [[batch], _] = mm.batches.page(None, 10)
    batch = ended(mm, batch.id)

    assert vendor.batches.n_created == 1
    assert (batch.phase, batch.n_ok, batch.n_failed, batch.vendor_model) == ("completed", N, 0, f"openai/{GPT}")
    assert [each["custom_id"] for each in results(mm, batch.output_file_id)] == [str(at) for at in range(N)]
    assert Counter(call.ref_part for call in mm.log.by_ref(batch.id)) == Counter(str(at + 1) for at in range(N))
    assert batch.usage is not None and Decimal(batch.usage["cost_usd"]) == COST * N
    assert mm.monitoring.differences() == []


def test_a_batch_that_its_vendor_does_not_begin_is_given_up_after_its_day(
    open_manager: Open, sqlite_url: str, vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, set_clock: SetClock
):
    """googleapis/python-genai#1482: pending for days; what came is kept, and the rest expires."""
    quick(monkeypatch)
    vendor.batches.holds = True
    mm = serving(open_manager(sqlite_url, openai_api_key=KEY, openai_base_url=f"{vendor.url}/v1"))
    budget = mm.budgets.create("all", "100", action="stop", period="day").budget
    batch = made(mm, [GPT] * 3)
    assert until(lambda: bool(mm.batches.get(batch.id, None).vendor_id), 20)
    set_clock(clock.now() + timedelta(hours=24))
    assert until(lambda: [each["status"] for each in vendor.batches.made.values()] == ["cancelling"], 20)
    assert until(lambda: mm.budgets.status(budget.id).reserved_usd > 0, 20)  # in the period of now
    vendor.batches.holds = False

    batch = ended(mm, batch.id)

    assert (batch.phase, batch.n_ok, batch.n_failed) == ("expired", 1, 0)
    assert {each["error"]["code"] for each in results(mm, batch.error_file_id)} == {"batch_expired"}
    status = mm.budgets.status(budget.id)
    assert (status.spent_usd, status.reserved_usd) == (COST, 0)
    assert mm.budgets.differences() == []
