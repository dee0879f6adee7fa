"""The log by filter: what it finds, in which pages, of which total; searches; files; sessions."""

import io
import random
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyarrow import parquet
from sqlalchemy import delete, text, update

from core.clock import to_us
from core.domain.generation import Generation
from core.domain.log.filter import LogFilter, from_texts
from core.domain.log.session import conversation
from core.domain.message import Message
from core.errors import InvalidRequest, NotFound
from core.formats import strict_json as json
from core.log.service import LogService
from core.storage.calls import filters, log, search, stretches
from core.storage.calls.feedback import FeedbackStore
from core.storage.calls.generations import to_body, to_row
from core.storage.calls.record import log_rows
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.gateway.schema import api_keys
from core.storage.schema import generation_bodies, generations
from tests.builders import NOON, a_generation

HOUR = timedelta(hours=1)
PROMPTS = ("Refund order 17, please", "退款 很快", "a_b 100% NEAR(x y)", 'Say "hi" 🙂', "plain")


def a_call(rng: random.Random, n: int) -> Generation:
    status = rng.choice(["ok", "ok", "ok", "error", "stopped", "blocked"])
    cost = rng.choice([None, Decimal("0.001"), Decimal("0.5"), Decimal(0)])
    return a_generation(
        f"g{n:03}",
        created_at=NOON + timedelta(minutes=7 * (n // 2)),  # two at a time: cursors must not lose one
        request_model=rng.choice(["m", "n"]), provider=rng.choice(["gemini", "openai", "simulated"]),
        source=rng.choice(["api", "playground"]), status=status,
        error_class=rng.choice(["rate_limited", "provider_error"]) if status == "error" else "",
        key_id=rng.choice(["", "k1", "k2"]), user_id=rng.choice(["", "ada", "bo"]), session_id=rng.choice(["", "s1"]),
        tags=tuple(rng.sample(["a", "b", "c"], rng.randint(0, 2))), prompt_version=rng.choice(["", "p@1", "p@2"]),
        ref_name=rng.choice(["", "workflow:digest", "experiment:try"]),
        cost_usd=cost, cost_status="unknown" if cost is None else "priced", latency_s=rng.choice([0.1, 1.0, 3.0]),
        messages=(Message("user", rng.choice(PROMPTS)),), text=rng.choice(["Done.", "Not found"]),
    )  # fmt: skip


CALLS = [a_call(random.Random(n), n) for n in range(120)]
OPINIONS = {call.id: "up" if n % 2 else "down" for n, call in enumerate(CALLS[::5])}
ONE: dict[str, tuple[Any, Callable[[Generation, Any], bool]]] = {
    "since": (NOON + HOUR, lambda g, v: g.created_at >= v),
    "until": (NOON + 5 * HOUR + timedelta(minutes=20), lambda g, v: g.created_at < v),
    "model": ("n", lambda g, v: g.request_model == v),
    "vendor": ("openai", lambda g, v: g.provider == v),
    "status": ("failed", lambda g, _: g.status not in ("ok", "stopped")),
    "error": ("rate_limited", lambda g, v: g.error_class == v),
    "source": ("api", lambda g, v: g.source == v),
    "key": ("ci", lambda g, _: g.key_id == "k1"),
    "user": ("ada", lambda g, v: g.user_id == v),
    "tag": ("b", lambda g, v: v in g.tags),
    "session": ("s1", lambda g, v: g.session_id == v),
    "workflow": ("digest", lambda g, v: g.ref_name == f"workflow:{v}"),
    "experiment": ("try", lambda g, v: g.ref_name == f"experiment:{v}"),
    "prompt": ("p", lambda g, _: g.prompt_version != ""),
    "min_cost_usd": (Decimal("0.001"), lambda g, v: g.cost_usd is not None and g.cost_usd >= v),
    "max_cost_usd": (Decimal("0.1"), lambda g, v: g.cost_usd is not None and g.cost_usd <= v),
    "min_latency_s": (1.0, lambda g, v: g.latency_s >= v),
    "max_latency_s": (1.0, lambda g, v: g.latency_s <= v),
    "feedback": ("up", lambda g, v: OPINIONS.get(g.id) == v),
    "calls": ("real", lambda g, _: g.provider != "simulated"),
    "text": ("refund", lambda g, _: "Refund" in g.messages[0].text),
}


@pytest.fixture
def logged(database_url: str) -> Iterator[LogService]:
    with closing(Database(database_url)) as database, closing(Writer(database)) as writer:
        for call in CALLS:
            writer.record_together(log_rows, to_row(call), to_body(call, "full")).result()
        key = {"id": "k1", "name": "ci", "digest": "d", "hint": "", "scopes": "[]", "created_at": 0}
        writer.run(lambda connection: connection.execute(api_keys.insert().values(key)))
        for id_, thumb in OPINIONS.items():
            whose = {"generation_id": id_, "key_id": "", "user_id": "ada"}
            writer.run(lambda c, w=whose, t=thumb: FeedbackStore.put(c, w, {"thumb": t}, to_us(NOON)))  # type: ignore[misc]
        yield LogService(database, lambda g: g, lambda _: None)


def expected(**given: Any) -> list[str]:
    found = [g for g in CALLS if all(ONE[name][1](g, value) for name, value in given.items())]
    return [g.id for g in sorted(found, key=lambda g: (g.created_at, g.id), reverse=True)]


@pytest.mark.parametrize("few", [10_000, 3])  # by the index that leaves few, and through all there is
def test_any_two_filters_find_the_same_as_a_look_at_each_call(
    logged: LogService, few: int, monkeypatch: pytest.MonkeyPatch
):
    for module in (filters, search):
        monkeypatch.setattr(module, "FEW", few)
    monkeypatch.setattr(search, "MANY", 20 * few)  # of which some words have more, and some less
    monkeypatch.setattr(log, "MOST_LISTED", few)
    monkeypatch.setattr(stretches, "N_CALLS", 2 * few)
    monkeypatch.setattr(log, "COUNTED_S", 60)
    names = list(ONE)
    pairs = [(a, b) for at, a in enumerate(names) for b in names[at + 1 :]]
    for pair in [(), *((name,) for name in names), *pairs[few % 4 :: 4]]:
        given = {name: ONE[name][0] for name in pair}
        page = logged.search(LogFilter(**given), limit=200)

        wanted = expected(**given)
        assert [g.id for g in page.calls] == wanted, pair
        if page.total is not None:
            of = [next(g for g in CALLS if g.id == id_) for id_ in wanted]
            n_failed = sum(g.status not in ("ok", "stopped") for g in of)
            costs = [g.cost_usd for g in of if g.cost_usd is not None]
            assert page.total == (len(of), n_failed, sum(costs, Decimal(0)), len(of) - len(costs)), pair
        else:
            assert "text" in pair and few == 3 and "not counted" in page.note


def test_what_no_index_answers_is_counted_as_far_back_as_time_goes(logged: LogService, monkeypatch: pytest.MonkeyPatch):
    for module, name, value in ((filters, "FEW", 3), (stretches, "N_CALLS", 10), (log, "COUNTED_S", -1)):
        monkeypatch.setattr(module, name, value)
    wanted = LogFilter(model="n", max_latency_s=2.0)
    everything = [g for g in CALLS if g.request_model == "n" and g.latency_s <= 2]

    page = logged.search(wanted, limit=200)

    assert page.since is not None and page.total is not None and f"{page.since:%H:%M} UTC" in page.note
    counted = [g for g in everything if g.created_at >= page.since]
    assert 0 < page.total.n == len(counted) < len(everything)
    seen = [g.id for g in page.calls]
    assert sorted(seen) == sorted(g.id for g in counted)
    while page.following is not None:
        page = logged.search(wanted, limit=5, cursor=page.following)
        seen += [g.id for g in page.calls]
    assert sorted(seen) == sorted(g.id for g in everything) and len(set(seen)) == len(seen)
    whole = logged.search(wanted, limit=1, is_exact=True)
    assert whole.total is not None and whole.total.n == len(everything) and whole.since is None and not whole.note


def test_pages_follow_each_other_while_calls_come(logged: LogService):
    wanted = LogFilter(model="n")
    seen: list[str] = []
    page = logged.search(wanted, limit=7)
    while True:
        seen += [g.id for g in page.calls]
        if page.following is None:
            break
        page = logged.search(wanted, limit=7, cursor=page.following)

    assert seen == expected(model="n")
    first = logged.search(wanted, limit=7)
    for wrong in ("1.2", "x", f"{first.following}0", "٣.g.000000000000"):
        with pytest.raises(InvalidRequest, match="cursor"):
            logged.search(wanted, cursor=wrong)
    with pytest.raises(InvalidRequest, match="another filter"):
        logged.search(LogFilter(model="m"), cursor=first.following)


FOUND = {
    "refund ORDER": 0, "order": 0, "rder": None, "退款": 1, "退": 1, "很快": 1, "款很": None, "a_b": 2, "100%": 2, "NEAR(x y)": 2,
    "near(": 2, '"hi"': 3, 'say "h': 3, "🙂": 3, "17": 0, "1": 2, "%": 2, "' OR 1=1 --": None, "order*": None, "plain AND": None,
    "\x00plain": None, "-plain": None, "{refund}": None, "x" * 1000: None,
}  # fmt: skip


@pytest.mark.parametrize(("few", "many"), [(10_000, 10_000), (3, 10_000), (3, 3)])
def test_a_search_takes_what_is_typed_as_text(logged: LogService, few: int, many: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "MANY", many)
    for words, at in FOUND.items():
        found = {g.messages[0].text for g in logged.search(LogFilter(text=words), limit=200, texts=True).calls}
        if words == "1":
            assert found == {PROMPTS[0], PROMPTS[2]}  # the beginnings of 17 and 100
        else:
            assert found == ({PROMPTS[at]} if at is not None else set()), words[:20]


def test_a_search_goes_on_where_it_has_gone_back_long_enough(logged: LogService, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "ENOUGH_S", 0)
    monkeypatch.setattr(search, "_FIRST_STRETCH", 10)
    monkeypatch.setattr(search, "FEW", 1)
    monkeypatch.setattr(search, "MANY", 1)
    wanted = LogFilter(text="refund")
    page, notes, seen = logged.search(wanted), [], []
    while True:
        seen += [g.id for g in page.calls]
        notes.append(page.note)
        if page.following is None:
            break
        page = logged.search(wanted, cursor=page.following)

    assert seen == expected(text="refund") and "were looked through" in notes[0] and len(notes) > 2


def test_a_text_that_is_deleted_or_changed_leaves_the_index(logged: LogService):
    database = logged._database
    has = generation_bodies.c.generation_id
    refunds = expected(text="refund")
    with database.write() as connection:
        connection.execute(delete(generation_bodies).where(has == refunds[0]))
        connection.execute(delete(generations).where(generations.c.id == refunds[1]))  # its body goes with it
        connection.execute(update(generation_bodies).where(has == refunds[2]).values(search_text=None, messages=None))
        connection.execute(update(generation_bodies).where(has == refunds[3]).values(search_text="redacted now"))

    assert [g.id for g in logged.search(LogFilter(text="refund"), limit=200).calls] == refunds[4:]
    assert [g.id for g in logged.search(LogFilter(text="redacted")).calls] == [refunds[3]]
    if database.is_sqlite:
        with closing(database._writers.raw_connection()) as raw:
            raw.driver_connection.execute("VACUUM")  # it numbers rows anew where it may
        with database.write() as connection:
            connection.execute(text("INSERT INTO call_words (call_words) VALUES ('integrity-check')"))
        assert [g.id for g in logged.search(LogFilter(text="refund"), limit=200).calls] == refunds[4:]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"status": "bad"}, "status == 'bad', must be one of failed, ok"),
        ({"source": "web"}, "source == 'web', must be one of playground"),
        ({"feedback": "5"}, "feedback == '5', must be one of up, down, any, none"),
        ({"from": "yesterday"}, "from == 'yesterday', must be ISO 8601"),
        ({"to": "2026-13-01"}, "to == '2026-13-01', must be ISO 8601"),
        ({"min_cost": "-1"}, "min_cost == '-1', must be a number of US dollars"),
        ({"max_latency": "NaN"}, "max_latency == 'NaN', must be a number of seconds"),
        ({"min_cost": "2", "max_cost": "1"}, "min_cost == '2', must be at most max_cost == 1"),
        ({"from": "1h", "to": "2h"}, "before it begins"),
        ({"modle": "m"}, "There is no filter 'modle'; there are from, to, model"),
        ({"text": "x" * 1001}, "1,001 characters"),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_is_named(given: dict[str, str], said: str):
    with pytest.raises(InvalidRequest, match=re.escape(said)):
        from_texts(given, NOON)


def test_moments_are_read_in_any_zone():
    assert from_texts({"from": "2026-09-21T14:00:00+02:00"}, NOON).since == datetime(2026, 9, 21, 12, tzinfo=UTC)
    assert from_texts({"from": "2026-09-21T14:00:00 02:00"}, NOON).since == datetime(2026, 9, 21, 12, tzinfo=UTC)
    assert from_texts({"from": "2026-09-21"}, NOON).since == datetime(2026, 9, 21, tzinfo=UTC)
    assert from_texts({"from": "7d", "model": ""}, NOON) == LogFilter(since=NOON - timedelta(days=7))


def test_a_file_holds_all_that_is_found(logged: LogService):
    wanted = LogFilter(model="n", text="refund")
    ids = expected(model="n", text="refund")[::-1]

    lines = [json.loads(line) for line in b"".join(logged.export(wanted, "jsonl", texts=True)).splitlines()]
    assert [line["id"] for line in lines] == ids and lines[0]["messages"].startswith(
        '[{"role": "user", "content": "Refund'
    )
    table = parquet.read_table(io.BytesIO(b"".join(logged.export(LogFilter(), "parquet"))))
    assert str(table.schema.field("cost_usd").type) == "decimal128(18, 9)"
    assert sum(filter(None, table["cost_usd"].to_pylist()), Decimal(0)) == sum(g.cost_usd or 0 for g in CALLS)
    assert table.num_rows == len(CALLS) and table["tags"].to_pylist()[0] == list(CALLS[0].tags)
    assert parquet.read_table(io.BytesIO(b"".join(logged.export(LogFilter(user="nobody"), "parquet")))).num_rows == 0
    with pytest.raises(InvalidRequest, match="must be one of jsonl, csv, parquet"):
        logged.export(wanted, "xlsx")


def test_a_file_is_of_one_moment_and_no_formula(logged: LogService, database_url: str):
    with closing(Writer(logged._database)) as writer:
        cells = replace(CALLS[0], id="formula", user_id="=cmd|' /C calc'!A0", created_at=NOON - HOUR, note="@x")
        writer.record_together(log_rows, to_row(cells), to_body(cells, "full")).result()
        parts = logged.export(LogFilter(), "csv")
        first = next(parts)
        late = replace(CALLS[0], id="zz9", created_at=NOON + 100 * HOUR)
        writer.record_together(log_rows, to_row(late), to_body(late, "full")).result()
        whole = (first + b"".join(parts)).decode()

    assert "'=cmd|' /C calc'!A0" in whole and "'@x" in whole and ",=cmd" not in whole
    assert "zz9" not in whole
    assert whole.count("\r\n") == len(CALLS) + 2


@pytest.mark.parametrize(
    ("by", "of"),
    [
        ("key,model", lambda g: [(g.key_id or None, g.request_model)]),
        ("tag,user", lambda g: [(tag, g.user_id or None) for tag in g.tags]),
        ("day", lambda g: [(f"{g.created_at:%Y-%m-%d}T00:00:00+00:00",)]),
    ],
)
def test_a_breakdown_counts_each_call_where_it_belongs(logged: LogService, by: str, of: Callable[[Generation], Any]):
    cells = {
        cell.of: cell for cell in logged.breakdown(LogFilter(min_latency_s=0.5, tag="a" if "tag" in by else None), by)
    }

    expected: dict[Any, list[Generation]] = {}
    for g in CALLS:
        if g.latency_s >= 0.5 and ("tag" not in by or "a" in g.tags):
            for key in of(g):
                expected.setdefault(key, []).append(g)
    assert cells.keys() == expected.keys()
    for key, calls in expected.items():
        cell, costs = cells[key], [g.cost_usd for g in calls if g.cost_usd is not None]
        n_failed = sum(g.status not in ("ok", "stopped") for g in calls)
        assert cell[1:5] == (len(calls), n_failed, sum(costs, Decimal(0)), len(calls) - len(costs))
        times = sorted(g.latency_s for g in calls if g.status == "ok")
        assert cell.p95_s == (pytest.approx(times[-(-95 * len(times) // 100) - 1], rel=0.012) if times else None)


def test_a_breakdown_that_cannot_be_is_told(logged: LogService):
    for by in ("", "colour", "key,key", "key,model,user"):
        with pytest.raises(InvalidRequest, match="must be one or two of model, vendor"):
            logged.breakdown(LogFilter(), by)
    with pytest.raises(InvalidRequest, match="no texts"):
        logged.breakdown(LogFilter(text="x"), "key")


def test_a_session_is_a_conversation_with_its_cost(logged: LogService):
    found, exchanges = logged.session("s1")

    calls = [g for g in CALLS if g.session_id == "s1"]
    costs = [g.cost_usd for g in calls if g.cost_usd is not None]
    assert (found.n, found.cost_usd, found.n_unpriced) == (len(calls), sum(costs), len(calls) - len(costs))
    assert [each.call.id for each in exchanges] == sorted(g.id for g in calls)
    assert [s.id for s in logged.sessions.latest(10)] == ["s1"]
    mine, _ = logged.session("s1", key="k1")
    assert mine.n == sum(g.key_id == "k1" for g in calls)
    with pytest.raises(NotFound):
        logged.session("none")


def test_a_conversation_does_not_repeat_what_programs_send_again():
    def call(n: int, answer: str, *turns: str) -> Generation:
        said = tuple(Message("model" if at % 2 else "user", words) for at, words in enumerate(turns))
        return a_generation(f"g{n}", messages=said, text=answer)

    calls = [call(1, "Hi!", "Hello"), call(2, "4", "Hello", " Hi!", "2 + 2?"), call(3, "A title", "Name this chat"),
             call(4, "5", "Hello", "Hi!", "2 + 2?", "4", "and 1?"), call(5, "other", "Hello", "Hi!", "2 + 3?")]  # fmt: skip

    assert [[turn.text for turn in each.turns] for each in conversation(calls)] == [
        ["Hello"], ["2 + 2?"], ["Name this chat"], ["and 1?"], ["2 + 3?"],
    ]  # fmt: skip
