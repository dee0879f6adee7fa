"""Storage: exact sums, rollups that equal the raw rows, half-open windows, and a file that survives a kill."""

import os
import sqlite3
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, inspect, text

from core import AimmError, ModelManager, clock
from core.demo.history import DemoSize
from core.domain.experiment import Target
from core.domain.generation import Generation, Message, Usage
from core.domain.message import Media, ToolCall, ToolResult
from core.statistics import histogram
from core.storage.calls.generations import GenerationStore, to_body, to_row
from core.storage.calls.log import LogStore
from core.storage.calls.record import log_rows
from core.storage.calls.responses import ResponseStore
from core.storage.calls.rollups import RollupStore
from core.storage.engine.database import Database, to_url
from core.storage.engine.writer import Writer
from core.storage.gateway.breakers import BreakerStore, Opening
from core.storage.schema import metadata
from core.storage.transfer.service import Transfers
from tests.builders import NOON, a_generation
from tests.conftest import ROOT, Open, fresh


@pytest.fixture
def database(database_url: str):
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def writer(database: Database):
    opened = Writer(database)
    yield opened
    opened.close()


def log(writer: Writer, *generations: Generation) -> None:
    for done in [writer.record_together(log_rows, to_row(generation), None) for generation in generations]:
        done.result()


def test_a_thousand_tiny_costs_add_up_exactly(database: Database, writer: Writer):
    log(writer, *(a_generation(f"g{n}") for n in range(1000)))

    since, until = clock.to_us(NOON), clock.to_us(NOON + timedelta(seconds=1))
    assert RollupStore(database).spend_nano_usd(since, until) == (100_000, 0)


def test_a_call_without_a_price_is_counted_not_summed_as_free(database: Database, writer: Writer):
    log(writer, a_generation("priced"), a_generation("unpriced", cost_usd=None, cost_status="unknown"))

    since, until = clock.to_us(NOON), clock.to_us(NOON + timedelta(days=1))
    assert RollupStore(database).spend_nano_usd(since, until) == (100, 1)


def test_the_newest_calls_of_a_few_sources_are_found_without_a_look_at_all_others(database: Database, writer: Writer):
    sources = ["demo", "api", "experiment", "playground"]
    log(writer, *(a_generation(f"g{n}", created_at=NOON + timedelta(seconds=n), source=sources[n % 4]) for n in range(40)))  # fmt: skip
    store = LogStore(database)

    assert [g.id for g in store.latest(source="playground", limit=3)] == ["g39", "g35", "g31"]
    assert [g.id for g in store.latest(source=("api", "experiment"), limit=3)] == ["g38", "g37", "g34"]
    assert [g.id for g in store.latest(source=("api", "experiment"), limit=3, offset=2)] == ["g34", "g33", "g30"]
    if database.is_sqlite:
        with database.read() as connection:
            one = "SELECT id FROM generations WHERE source = 'playground' ORDER BY created_at DESC LIMIT 50"
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}").all())
        assert "ix_generations_source_created" in plan and "TEMP B-TREE" not in plan


@pytest.mark.parametrize("minutes", [-1, 0, 1, 59, 60, 61])
def test_the_window_is_half_open_at_any_minute(database: Database, writer: Writer, minutes: int):
    moment = NOON + timedelta(minutes=minutes)
    log(writer, a_generation("g", created_at=moment))
    rollups, at = RollupStore(database), clock.to_us(moment)

    assert rollups.spend_nano_usd(at - clock.DAY_US, at) == (0, 0)
    assert rollups.spend_nano_usd(at, at + 1) == (100, 0)
    assert rollups.spend_nano_usd(at - clock.DAY_US, at + clock.DAY_US) == (100, 0)


def test_rollups_equal_the_raw_rows_whatever_was_logged(database: Database, writer: Writer):
    rng = np.random.default_rng(1)
    rows = [
        a_generation(
            f"g{n}",
            created_at=NOON + timedelta(minutes=int(rng.integers(0, 4000))),
            request_model=f"m{rng.integers(3)}",
            status=["ok", "error", "stopped"][int(rng.integers(3))],
            latency_s=float(rng.lognormal()),
            ttft_s=None if rng.random() < 0.3 else float(rng.random()),
        )
        for n in range(2000)
    ]
    log(writer, *rows)

    assert RollupStore(database).differences() == []


def test_one_bad_row_does_not_take_its_batch_with_it(database: Database, writer: Writer):
    good = [writer.record_together(log_rows, to_row(a_generation(f"g{n}")), None) for n in range(20)]
    bad = writer.record_together(
        log_rows, to_row(a_generation("bad", usage=Usage(input_tokens=1, cached_tokens=2))), None
    )
    twin = writer.record_together(log_rows, to_row(a_generation("g3")), None)

    for done in good:
        done.result()
    for done in (bad, twin):
        assert done.exception() is not None
    assert GenerationStore(database).count() == 20
    assert RollupStore(database).differences() == []


def test_two_processes_worth_of_writers_share_one_database(database: Database, database_url: str, writer: Writer):
    other_database = Database(database_url)
    other = Writer(other_database)
    waiting = []
    for n in range(300):
        waiting.append((writer if n % 2 else other).record_together(log_rows, to_row(a_generation(f"g{n}")), None))
    for done in waiting:
        done.result()
    other.close()
    other_database.close()

    assert GenerationStore(database).count() == 300
    assert RollupStore(database).differences() == []


def test_a_migrated_database_is_what_the_code_declares(database: Database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from core.storage.experiments import schema as experiment_schema  # noqa: F401 - it adds its tables
    from core.storage.schema import metadata

    with database.read() as connection:
        # No two databases index words, or what the log is filtered by, in the same way.
        opts = {"include_object": lambda _, name, *__: "words" not in name and name != "ix_generations_log"}
        found = compare_metadata(MigrationContext.configure(connection, opts=opts), metadata)
    assert found == []


def at_revision(url: str, revision: str, put: Callable[[Connection], None]) -> None:
    """A database as that revision has it, with what `put` writes."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "core" / "storage" / "engine" / "migrations"))
    engine = create_engine(to_url(url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        put(connection)
    engine.dispose()


def test_the_tables_of_logins_keyed_requests_and_feedback_come_to_a_database_with_calls(empty_database_url: str):
    def put(connection: Connection) -> None:
        columns = {column["name"] for column in inspect(connection).get_columns("generations")}
        row = {name: value for name, value in to_row(a_generation("g1")).items() if name in columns}
        connection.execute(metadata.tables["generations"].insert().values(row))

    at_revision(empty_database_url, "0005", put)

    with closing(Database(empty_database_url)) as database, database.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM generations")) == 1
        assert {"logins", "keyed_requests", "feedback"} <= set(inspect(connection).get_table_names())


# What a call holds (its prompt, and in turns its answer), and what finds it.
SEARCHED = {
    "Grüße aus KÖLN, 100 % sicher": ["köln", "KÖLN", "GRÜSSE", "grüße", "100 %", unicodedata.normalize("NFD", "köln")],
    unicodedata.normalize("NFD", "Ångström"): ["ångström", unicodedata.normalize("NFC", "ÅNGSTRÖM")],
    "ΟΔΥΣΣΕΎΣ στη θάλασσα": ["οδυσσεύς", "ΘΆΛΑΣΣΑ", "οδυσσεύσ"],
    "İstanbul ve Diyarbakır": ["istanbul", "İSTANBUL", "diyarbakir", "DIYARBAKIR"],
    "Straße": ["STRASSE", "straße", "strasse"],
    "Привет": ["ПРИВЕТ", " привет\n"],
    r"C:\temp\a_b.txt": [r"c:\TEMP", "a_b", r"\a"],
    'He said "no"\nand left': ['"no"', 'no"\nAND'],
    "ﬁnancial 🙂": ["financial", "🙂"],
}
NOT_FOUND = [
    "nowhere",
    "100 _",
    "a%b",
    "aXb.txt",
    "user",
    "model",
    "[[",
    "\\n",
    "\x00",
    "\udcff",
    "x" * 1000,
    "istanbull",
    "koln",
]


def found(store: LogStore, words: str) -> list[str]:
    return [g.id for g in store.latest(text=words)]


def test_a_search_finds_a_text_however_its_letters_are_written(database: Database, writer: Writer):
    for number, words in enumerate(SEARCHED):
        prompt, answer = (words, "") if number % 2 else ("", words)
        call = a_generation(f"g{number}", messages=(Message("user", prompt),), text=answer)
        writer.record_together(log_rows, to_row(call), to_body(call, "full")).result()
    private = a_generation("private", messages=(Message("user", "Straße köln"),), text="Привет")
    writer.record_together(log_rows, to_row(private), to_body(private, "metadata")).result()

    store = LogStore(database)
    for number, searches in enumerate(SEARCHED.values()):
        for words in searches:
            assert found(store, words) == [f"g{number}"], words
    for words in NOT_FOUND:
        assert found(store, words) == [], words[:20]


def test_a_search_finds_parts_of_a_conversation_with_tools(database: Database, writer: Writer):
    parts = (ToolResult("1", "weather", "21 °C in MÜNCHEN"), Media("image/png", b"x"), "And tomorrow?")
    turns = (Message("model", "", (ToolCall("1", "weather", '{"city": "Zürich"}'),)), Message.of("user", parts))
    call = a_generation("g1", messages=turns)
    writer.record_together(log_rows, to_row(call), to_body(call, "full")).result()

    assert [found(LogStore(database), words) for words in ("münchen", "ZÜRICH", "TOMORROW", "image/png")] == [
        ["g1"], ["g1"], ["g1"], [],
    ]  # fmt: skip


def test_calls_of_an_earlier_version_are_found_too(empty_database_url: str):
    def put(connection: Connection) -> None:
        for table, values in (("generations", to_row), ("generation_bodies", lambda call: to_body(call, "full"))):
            columns = {column["name"] for column in inspect(connection).get_columns(table)}
            for number, words in enumerate(SEARCHED):
                call = a_generation(f"g{number:04}", messages=(Message("user", words),))
                row = {name: value for name, value in values(call).items() if name in columns}
                connection.execute(metadata.tables[table].insert().values(row))
        connection.execute(text("UPDATE generation_bodies SET messages = '[[1' WHERE generation_id = 'g0000'"))

    at_revision(empty_database_url, "0008", put)

    with closing(Database(empty_database_url)) as database:
        for number, searches in list(enumerate(SEARCHED.values()))[1:]:
            for words in searches:
                assert found(LogStore(database), words) == [f"g{number:04}"], words
        assert found(LogStore(database), "[[1") == ["g0000"]


def test_calls_are_found_by_what_they_were_made_for_without_a_look_at_all_others(empty_database_url: str):
    named = {"key": "key_id", "user": "user_id", "workflow": "ref_name"}
    calls = [
        a_generation(
            f"g{n}", created_at=NOON + timedelta(seconds=n), tags=("a", "b")[: n % 3], key_id="k" * (n % 2),
            user_id="ada" if n > 7 else "", ref_name="workflow:digest" if n < 2 else "", status="error" if n == 4 else "ok",
        )
        for n in range(10)
    ]  # fmt: skip

    def put(connection: Connection) -> None:
        columns = {column["name"] for column in inspect(connection).get_columns("generations")}
        for call in calls[:5]:
            row = {name: value for name, value in to_row(call).items() if name in columns}
            connection.execute(metadata.tables["generations"].insert().values(row))

    at_revision(empty_database_url, "0013", put)

    with closing(Database(empty_database_url)) as database, closing(Writer(database)) as writer:
        log(writer, *calls[5:])
        wanted = {"tag": ("b", "g8 g5 g2"), "key": ("k", "g9 g7 g5 g3 g1"), "user": ("ada", "g9 g8"), "workflow": ("digest", "g1 g0"), "status": ("failed", "g4")}  # fmt: skip
        for name, (value, ids) in wanted.items():
            assert " ".join(g.id for g in LogStore(database).latest(**{name: value})) == ids, name
        assert [g.id for g in LogStore(database).latest(tag="a", key="k", since=NOON + timedelta(seconds=5))] == ["g7", "g5"]  # fmt: skip
        if database.is_sqlite:
            with database.read() as connection:
                for name, column in named.items():
                    one = f"SELECT id FROM generations WHERE {column} != '' AND {column} = '{name}' ORDER BY created_at"  # noqa: S608
                    plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}").all())
                    assert f"ix_generations_{column}_created" in plan and "TEMP B-TREE" not in plan


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite:////proc/none/x.db", "sqlite:///:memory:"])
def test_an_address_that_cannot_be_opened_is_named(url: str):
    with pytest.raises((AimmError, OSError), match=r"DATABASE_URL|cannot|No such|mysql"):
        Database(url)


# Histograms --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=400), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_within_its_promise(durations: list[int], share: float):
    counts: dict[int, int] = {}
    for duration in durations:
        bucket = histogram.bucket_of(duration)
        counts[bucket] = counts.get(bucket, 0) + 1
    merged, first = histogram.merge_groups([histogram.encode(counts)], np.array([0]), 1)

    found = histogram.percentiles_us(merged, first, [share])[0, 0]

    exact = sorted(max(d, histogram.MIN_US) for d in durations)[max(0, int(np.ceil(share * len(durations))) - 1)]
    assert found == pytest.approx(exact, rel=0.0109)  # half a bucket


def test_percentiles_of_a_large_sample_agree_with_numpy():
    values = np.random.default_rng(3).lognormal(13, 0.8, 50_000).astype(np.int64)
    counts = np.bincount(histogram.buckets_of(values))

    found = histogram.percentiles_us(counts[None, :], 0, [0.5, 0.95, 0.99])

    assert found[0] == pytest.approx(list(np.percentile(values, [50, 95, 99])), rel=0.011)


@given(
    st.dictionaries(st.integers(192, 2000), st.integers(1, 10**6), max_size=30),
    st.dictionaries(st.integers(192, 2000), st.integers(1, 10**6), max_size=30),
)
def test_merging_is_adding(first: dict[int, int], second: dict[int, int]):
    merged = histogram.decode(histogram.merge(histogram.encode(first), second))

    assert merged == {k: first.get(k, 0) + second.get(k, 0) for k in first.keys() | second.keys()}


@pytest.mark.parametrize("text", ["a\ud800b", "a\x00b"])
def test_a_text_that_cannot_be_kept_is_refused_or_kept_whole(mm: ModelManager, text: str):
    for deed in (
        lambda: mm.log.latest(text=text),
        lambda: mm.log.get(text),
        lambda: mm.comparisons.get(text),
        lambda: mm.experiments.get(text),
        lambda: mm.workflows.run(text),
        lambda: mm.budgets.create(text, "5"),
        lambda: mm.experiments.create(text, ["sim-fast", "sim-balanced"]),
        lambda: mm.workflows.start("translation", text, model="sim-fast"),
        lambda: mm.aliases.set("ours", Target(model="sim-fast", system=text)),
    ):
        try:
            deed()
        except AimmError as error:
            assert "a\x00" not in error.text
    assert mm.generate("It goes on.", model="sim-fast").status == "ok"


# Who may read ---------------------------------------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): f"{path.stat().st_mode & 0o777:o}" for path in folder.rglob("*")}


def test_only_its_owner_may_read_a_database(open_manager: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "made" / "for it" / "aimm.db"
    old = os.umask(0)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "chmod", lambda *_: pytest.fail("it was open to others until now"))
            with open_manager(f"sqlite:///{file}", metrics_folder=tmp_path / "metrics") as mm:
                mm.budgets.create("b", "5", action="stop")
                mm.generate("A secret.", model="sim-fast")
                mm.workflows.wait(mm.workflows.start("translation", "A secret.", model="sim-fast"), 30)
                found = modes(tmp_path)
        assert {"aimm.db-wal", "aimm.db-shm", "aimm.db.engine", "aimm.db.engine-wal"} <= {
            Path(name).name for name in found
        }
        by_kind: dict[bool, set[str]] = {True: set(), False: set()}
        for name, mode in found.items():
            by_kind[(tmp_path / name).is_dir()].add(mode)
        assert by_kind == {True: {"700"}, False: {"600"}}, found

        for name in ("aimm.db", "aimm.db.engine", "aimm.db-wal"):
            (file.parent / name).touch()
            (file.parent / name).chmod(0o664)
        with open_manager(f"sqlite:///{file}") as mm:
            mm.runs.launch()
            assert set(modes(file.parent).values()) - {"700"} == {"600"}
    finally:
        os.umask(old)


# Demo --------------------------------------------------------------------------------------------------------------


def test_demo_data_come_and_go_without_a_trace(mm: ModelManager):
    mine = mm.generate("My own call.", model="sim-fast")
    mm.demo.fill(DemoSize(700, 30))

    assert mm.monitoring.differences() == []
    window = mm.monitoring.window(days=31)
    assert mm.monitoring.total(window).n == 0  # never part of real totals
    assert mm.monitoring.total(window, simulated=True).n > 700
    assert {experiment.status for experiment in mm.experiments.all()} == {"running", "stopped"}
    assert mm.comparisons.votes() == []
    assert len(mm.comparisons.votes(demo=True)) == 60
    run = mm.workflows.run(mm.workflows.runs()[0].id)
    assert run.status == "succeeded"
    for step in run.steps:  # as sent: filled in, and the same in the log
        assert step.generation_id is not None and "{{" not in step.prompt
        assert mm.log.get(step.generation_id).messages[-1].text == step.prompt
    assert {row["operation"] for row in mm.log.all_rows()} == {"chat"}
    opened = [mm.log.get(g.id) for g in mm.log.latest(limit=500, text="a")]
    assert {(g.tools, g.tool_calls, g.damaged) for g in opened} == {((), (), ())}
    assert len(opened) > 300

    mm.demo.remove()

    assert [g.id for g in mm.log.latest()] == [mine.id]
    assert (mm.experiments.all(), mm.comparisons.latest(), mm.workflows.runs()) == ([], [], [])
    assert mm.monitoring.total(window, simulated=True).n == 1
    assert mm.monitoring.differences() == []


# Kill --------------------------------------------------------------------------------------------------------------

CHILD = """
import os, sys, threading
from core import ModelManager
from core.config import Settings
mm = ModelManager.open(Settings(database_url=sys.argv[1]), simulated_speed=4)
def ask(n):
    os.write(1, (mm.generate(f"Say {n}.", model="sim-fast").id + "\\n").encode())
for n in range(200):
    threading.Thread(target=ask, args=(n,)).start()
"""


def test_every_call_that_was_answered_survives_a_kill(tmp_path: Path):
    url = fresh(tmp_path)
    with subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        answered = [child.stdout.readline().strip() for _ in range(60)]
        child.kill()
        rest = child.stdout.read().splitlines()
    answered += [line.strip() for line in rest if line.startswith("g_") and len(line) >= 20]

    with sqlite3.connect(tmp_path / "aimm.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = {row[0] for row in connection.execute("SELECT id FROM generations")}
    database = Database(url)
    assert len(answered) >= 60
    assert set(answered) <= kept
    assert RollupStore(database).differences() == []
    database.close()


def test_breakers_and_answers_are_written_over(open_manager: Open, database_url: str):
    mm: ModelManager = open_manager(database_url)
    database = mm.database
    with database.write() as connection:
        for n in (1, 2):
            BreakerStore.put(connection, ("openai", "m"), Opening(n, n, "why"))
            ResponseStore.put(connection, "d", {"n": n}, 0, 100)

    assert BreakerStore(database).all() == {("openai", "m"): Opening(2, 2, "why")}
    assert ResponseStore(database).get("d", 50) == {"n": 2}


def test_a_file_of_the_first_version_can_be_restored(tmp_path: Path):
    """As it is kept before an upgrade: most of what a database is measured by was not there yet."""
    at_revision(f"sqlite:///{tmp_path}/old.db", "0001", lambda _: None)

    restored = Transfers(f"sqlite:///{tmp_path}/new.db", lambda _: None).restore(f"{tmp_path}/old.db", force=False)

    assert restored.version == "0001"
    assert Transfers(f"sqlite:///{tmp_path}/new.db", lambda _: None).version()[1]
