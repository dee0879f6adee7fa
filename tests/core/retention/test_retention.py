"""Retention on both databases: what is deleted, what stays equal, and what may interrupt it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from core import InvalidRequest, ModelManager, NotFound, testing
from core.clock import DAY_US
from core.config import Settings
from core.domain.experiment import OutcomeInput
from core.domain.generation import Generation, Parameters
from core.domain.log.filter import LogFilter
from core.domain.message import Message
from core.storage.engine.presence import Presence
from core.storage.experiments import check as sums_check
from core.storage.money import spend_by
from core.storage.retention.schema import deleted_spend
from core.storage.retention.store import RetentionStore
from core.storage.schema import generation_bodies, generations, workflow_runs
from core.storage.transfer.tables import all_tables
from tests.builders import NOON, a_generation, settings_of


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
        scopes = {"all": "Asia/Kolkata", f"key:{key.id}": "UTC", "user:ada": "Asia/Kathmandu", "tag:a": "UTC"}
        for scope, zone in scopes.items():
            mm.budgets.create(scope, "10", scope=scope, timezone=zone, period="month")
        mm.budgets.create("rolling", "10", scope="user:ada", period="rolling", rolling_hours=100)
        units = [mm.experiments.assign(made.id, f"u{at}").id for at in range(5)]
        mm.experiments.record(made.id, [OutcomeInput(unit_id=f"u{at}", success=at % 2 == 0) for at in range(5)])
        calls = [
            a_call(
                f"g{at:03}", at / 10, user_id=("ada", "bob", "")[at % 3], key_id=(key.id, "")[at % 2],
                tags=(("a", "b"), ("a",), ())[at % 3], status="error" if at % 17 == 0 else "ok",
                error_message="it said: secret words" if at % 17 == 0 else "",
                ref_id=made.id if at % 4 == 0 else None, ref_part=units[at % 5] if at % 4 == 0 else None,
                parameters=Parameters(temperature=0.5, json_schema={"title": "secret"}),
            )
            for at in range(60)
        ]  # fmt: skip
        testing.record(mm, *calls)
        mm.feedback.give("g020", {"thumb": "up", "text": "kept"})
        mm.feedback.give("g025", {"thumb": "up", "text": "secret"})
        before = figures(mm, made.id)
        assert checked(mm) == []
        assert (
            mm.log.search(LogFilter(since=datetime(1960, 1, 1, tzinfo=UTC))).note == ""
        )  # before 1970, and nothing is deleted yet
        assert [(each.part, each.n) for each in mm.retention.due()] == [("texts", 10), ("calls", 29)]

        assert mm.retention.run()

        kept = [row.id for row in mm.database.rows(select(generations.c.id).order_by(generations.c.id))]
        assert kept == [f"g{at:03}" for at in range(31)]
        assert n_rows(mm, generation_bodies, generation_bodies.c.search_text.is_not(None)) == 21
        assert [mm.feedback.of(id_)[0].text for id_ in ("g020", "g025")] == ["kept", None]
        old, new = mm.log.get("g030"), mm.log.get("g010")
        assert (old.text, old.messages, old.parameters) == ("", (), Parameters(temperature=0.5))
        assert (new.text, old.cost_usd) == ("an answer", new.cost_usd)
        found = mm.log.search(LogFilter(text="secret words of"))
        assert found.total is not None and found.total.n == 21
        assert "Calls before 2026" in found.note and "deleted" in found.note
        assert mm.retention.texts_note(new.created_at) == ""
        assert mm.retention.texts_note(old.created_at).startswith("Texts before 2026")
        with pytest.raises(NotFound) as caught:
            mm.feedback.give("g059", {"thumb": "up"})
        assert "were deleted" in caught.value.hint
        assert figures(mm, made.id) == before
        mm._writer.run(mm._ledger.rewrite_all)  # written anew from what is left, they say the same
        mm._writer.run(lambda link: [sums_check.rebuild(link, made.id), spend_by.rebuild(link)])
        assert figures(mm, made.id)[:-1] == before[:-1]
        assert checked(mm) == []  # which rounds where experiments add in another order

        # An outcome of a call that is gone still finds its unit.
        mm.experiments.record(made.id, [OutcomeInput(generation_id="g040", rating=4)])
        assert mm.experiments.report(made.id).analysis.n_orphans == 0
        assert checked(mm) == []


def test_sums_of_deleted_calls_become_coarser_with_age_and_say_the_same(database_url: str):
    with managed(database_url, keep_calls_days=3) as mm:
        mm.budgets.create("all", "10", scope="all", period="month")
        testing.record(mm, *(a_call(f"g{n:02}", n / 10, tags=("a",)) for n in range(60)))
        assert mm.retention.run()
        n_fine, past = n_rows(mm, deleted_spend), mm.monitoring.window(NOON - timedelta(days=400), NOON)
        before = mm.spend.by("tag", past)

        with testing.clock_at(NOON + timedelta(days=40)):
            testing.record(mm, a_call("new", -40))  # by which the clock is believed
            for _ in range(40):
                mm.retention.run()
            assert n_rows(mm, deleted_spend, deleted_spend.c.bucket_at % DAY_US != 0) == 0
            assert 0 < n_rows(mm, deleted_spend) < n_fine
            assert mm.spend.by("tag", past) == before and checked(mm) == []


def test_a_user_is_forgotten_and_their_sums_are_not(database_url: str):
    with managed(database_url, keep_calls_days=3) as mm:
        made = mm.experiments.create("Tone", ["sim-fast", "sim-balanced"])
        mm.experiments.assign(made.id, "ada")
        mm.budgets.create("hers", "10", scope="user:ada", period="month")
        testing.record(mm, *(a_call(f"g{at}", at, user_id="ada", session_id="s1") for at in range(6)))
        testing.record(mm, a_call("other", 1, user_id="bob", session_id="s2"))
        mm.feedback.give("other", {"rating": 5, "text": "from ada"}, user_id="ada")
        mm.retention.run()  # what was deleted before has her name in its sums
        spent = mm.budgets.statuses()[0].spent_usd

        done = mm.forgetting.forget("ada")

        assert (done.n_calls, done.others) == (
            4, {"opinions": 1, "units of experiments": 1, "votes": 0, "budgets": 1},
        )  # fmt: skip
        everything = mm.monitoring.window(NOON - timedelta(days=30), NOON)
        assert {each.value: each.n for each in mm.spend.by("user", everything)} == {done.alias: 6, "bob": 1}
        assert mm.budgets.statuses()[0].spent_usd == spent
        assert mm.log.get("g1").messages == () and mm.log.get("g1").session_id == ""
        assert mm.log.get("other").text == "an answer"
        with mm.database.read() as connection:
            for table in all_tables():
                for row in connection.execute(select(table)):
                    assert not any(value == "ada" or "secret words of g" in str(value) for value in row), table.name
        assert checked(mm) == []
        mm._writer.run(mm._ledger.rewrite_all)
        assert mm.budgets.statuses()[0].spent_usd == spent
        assert mm.forgetting.forget("ada").alias == ""


def test_rules_of_keys_and_tags_take_the_place_of_the_general_one(database_url: str):
    with managed(database_url) as mm:
        mm.retention.set_rule("all", "5d", "10d")
        long = mm.keys.create("long")[0].id
        assert mm.retention.set_rule("key:long", "", "forever").scope == f"key:{long}"  # as calls know it
        with pytest.raises(NotFound):
            mm.retention.set_rule("key:nobody", "1d", "")
        mm.retention.set_rule("tag:brief", "1d", "2d")
        given = [
            a_call(f"{name}{days}", days, key_id=key, tags=tags)
            for name, key, tags in (("a", "", ()), ("k", long, ()), ("t", "", ("brief",)), ("kt", long, ("brief",)))
            for days in (0, 3, 7, 20)
        ]  # fmt: skip
        testing.record(mm, *given)

        mm.retention.run()

        left = [row.id for row in mm.database.rows(select(generations.c.id).order_by(generations.c.id))]
        assert left == ["a0", "a3", "a7", "k0", "k20", "k3", "k7", "kt0", "t0"]  # the shortest of two rules holds
        has_text = generation_bodies.c.search_text.is_not(None)
        with_text = [row[0] for row in mm.database.rows(select(generation_bodies.c.generation_id).where(has_text))]
        assert sorted(with_text) == ["a0", "a3", "k0", "k3", "kt0", "t0"]
        assert checked(mm) == []
        assert mm.retention.drop_rule("key:long")
        mm.retention.run()
        assert n_rows(mm, generations, generations.c.id == "k20") == 0


def test_what_runs_may_still_need_is_held(sqlite_url: str):
    with managed(sqlite_url, keep_texts_days=1, keep_calls_days=2) as mm:
        rows = {"w1": ("running", 0), "w2": ("cancelled", 1), "w3": ("succeeded", 0)}
        for id_, (status, paused) in rows.items():
            run = {
                "id": id_, "workflow_name": "w", "spec": "{}", "inputs": '{"": "secret"}', "source": "api", "status": status,
                "is_paused": paused, "created_at": 0, "finished_at": 1, "n_starts": 1,
            }  # fmt: skip
            mm._writer.run(lambda link, run=run: link.execute(insert(workflow_runs).values(**run)))
            testing.record(mm, a_call(f"g{id_}", 9, ref_id=id_))
        testing.record(mm, a_call("new", 0))

        mm.retention.run()

        left = [row.id for row in mm.database.rows(select(generations.c.id).order_by(generations.c.id))]
        assert left == ["gw1", "gw2", "new"] and mm.log.get("gw2").text == "an answer"
        inputs = {row.id: row.inputs for row in mm.database.rows(select(workflow_runs.c.id, workflow_runs.c.inputs))}
        assert inputs == {"w1": '{"": "secret"}', "w2": '{"": "secret"}', "w3": "{}"}


def test_a_clock_that_runs_away_takes_a_day_at_most(sqlite_url: str):
    with managed(sqlite_url, keep_calls_days=30) as mm:
        testing.record(mm, *(a_call(f"g{days}", days) for days in (0, 10, 20, 28, 40, 50)))
        with testing.clock_at(NOON + timedelta(days=3000)):
            for _ in range(3):
                mm.retention.run()
        assert n_rows(mm, generations) == 4
        with testing.clock_at(NOON - timedelta(days=3000)):
            mm.retention.run()
        assert n_rows(mm, generations) == 4 and checked(mm) == []


def test_one_process_deletes_and_a_round_that_was_cut_off_is_gone_on_with(sqlite_url: str):
    with managed(sqlite_url, keep_calls_days=1) as mm:
        testing.record(mm, *(a_call(f"g{at}", 5, user_id="u") for at in range(50)))
        mm.retention.stop()  # as a shutdown does
        mm.retention.run()
        assert n_rows(mm, generations) == 50
    with managed(sqlite_url, keep_calls_days=1) as mm:
        other = Presence(mm.database)
        mm._writer.run(lambda link: RetentionStore.claim(link, other.announce(), 1, lambda token: True))
        assert not mm.retention.run()
        other.close()
        assert mm.retention.run()
        assert n_rows(mm, generations) == 0 and checked(mm) == []


@pytest.mark.parametrize("text", ["30", "0d", "-1d", "forever", "1 month", "30 days", "1.5d", "d"])
def test_a_time_that_is_none_is_named_at_the_start(text: str):
    with pytest.raises(InvalidRequest, match=r"AIMM_KEEP_TEXTS == .* must be days from 1d"):
        Settings.from_environ({"AIMM_KEEP_TEXTS": text})


def test_texts_cannot_outlive_their_calls():
    assert Settings.from_environ({"AIMM_KEEP_TEXTS": "30d", "AIMM_KEEP_CALLS": " 400D "}).keep_calls_days == 400
    with pytest.raises(InvalidRequest, match="texts go with their calls"):
        Settings.from_environ({"AIMM_KEEP_TEXTS": "31d", "AIMM_KEEP_CALLS": "30d"})
