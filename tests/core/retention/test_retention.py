"""Retention on both databases: what is deleted, what stays equal, and what may interrupt it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from core import ModelManager, testing
from core.domain.experiment import OutcomeInput
from core.domain.generation import Generation, Parameters
from core.domain.log.filter import LogFilter
from core.domain.message import Message
from core.storage.schema import generation_bodies, generations
from tests.builders import NOON, a_generation, settings_of

KEEP = {"keep_texts_days": 30, "keep_calls_days": 60}


@contextmanager
def managed(url: str, **settings: Any) -> Iterator[ModelManager]:
    with (
        testing.clock_at(NOON),
        ModelManager.open(settings_of(database_url=url, **settings), simulated_speed=0, takes_up=False) as mm,
    ):
        yield mm


def a_call(id_: str, days_ago: float, **changes: object) -> Generation:
    given: dict[str, Any] = {
        "created_at": NOON - timedelta(days=days_ago),
        "messages": (Message("user", f"secret words of {id_}"),),
        "text": "an answer",
        "cost_usd": Decimal("0.000123456"),
    }
    return a_generation(id_, **given | changes)


def n_rows(mm: ModelManager, table: Any, *where: Any) -> int:
    return int(mm.database.value(select(func.count()).select_from(table).where(*where)) or 0)


def checked(mm: ModelManager) -> list[str]:
    return mm.monitoring.differences() + mm.budgets.differences() + mm.experiments.differences()


def figures(mm: ModelManager, experiment: str) -> list[Any]:
    """All that must be equal before and after."""
    everything = mm.monitoring.window(NOON - timedelta(days=400), NOON)
    report = mm.experiments.report(experiment)
    return [
        mm.monitoring.by_model(everything, bucket="day"),
        mm.monitoring.by_model(everything),
        mm.monitoring.spend_today("Asia/Kolkata"),
        [mm.spend.by(kind, everything) for kind in ("user", "key", "tag")],
        mm.budgets.statuses(),
        (report.analysis, report.decision),
    ]


def test_old_texts_and_calls_go_and_every_sum_stays(database_url: str):
    with managed(database_url, keep_texts_days=2, keep_calls_days=3) as mm:
        made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
        key, _ = mm.keys.create("team")
        for scope, zone in (
            ("all", "Asia/Kolkata"),
            (f"key:{key.id}", "UTC"),
            ("user:ada", "Asia/Kathmandu"),
            ("tag:a", "UTC"),
        ):
            mm.budgets.create(f"{scope} {zone}", "10", scope=scope, timezone=zone, period="month")
        mm.budgets.create("rolling", "10", scope="user:ada", period="rolling", rolling_hours=24 * 200)
        calls = []
        for at in range(120):
            unit = mm.experiments.assign(made.id, f"u{at}")
            calls.append(
                a_call(
                    f"g{at:03}",
                    at / 10,
                    user_id=("ada", "bob", "")[at % 3],
                    key_id=(key.id, "")[at % 2],
                    tags=(("a", "b"), ("a",), ())[at % 3],
                    status="error" if at % 17 == 0 else "ok",
                    error_message="it said: secret words" if at % 17 == 0 else "",
                    ref_id=made.id if at % 4 == 0 else None,
                    ref_part=unit.id if at % 4 == 0 else None,
                    parameters=Parameters(temperature=0.5, json_schema={"title": "secret"}),
                )
            )
            mm.experiments.record(made.id, [OutcomeInput(unit_id=f"u{at}", success=at % 3 == 0)])
        testing.record(mm, *calls)
        mm.feedback.give("g020", {"thumb": "up", "text": "secret"})
        before = figures(mm, made.id)
        assert checked(mm) == []
        assert [(each.part, each.n) for each in mm.retention.due()] == [("texts", 10), ("calls", 89)]

        assert mm.retention.run()

        assert [row[0] for row in mm.database.rows(select(generations.c.id).order_by(generations.c.id))] == [
            f"g{at:03}" for at in range(31)
        ]
        assert n_rows(mm, generation_bodies, generation_bodies.c.search_text.is_not(None)) == 21
        assert mm.feedback.of("g020")[0].text == "secret"
        old, new = mm.log.get("g030"), mm.log.get("g010")
        assert (old.text, old.messages, old.parameters) == ("", (), Parameters(temperature=0.5))
        assert (new.text, old.cost_usd) == ("an answer", new.cost_usd)
        assert mm.log.search(LogFilter(text="secret words of")).total.n == 21
        assert checked(mm) == []
        for _ in range(2):  # written anew from what is left, they say the same
            mm._writer.run(mm._ledger.rewrite_all)
        assert figures(mm, made.id) == before
        assert mm.retention.progress()[0].n == 89
        assert mm.retention.run()
        assert figures(mm, made.id) == before
