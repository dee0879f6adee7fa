"""Records that cannot be read: they are told as such, and nothing else is lost with them."""

import json
import logging
import sqlite3
from contextlib import closing
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pytest
import streamlit as st
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from api.rest.app import make_app
from api.rest.calls import generation_view
from core import AimmError, ModelManager, clock, testing
from core.demo import history as demo
from core.domain.experiment import Target, Variant
from core.domain.generation import Message, Parameters, Usage
from core.domain.message import Tool, ToolCall
from core.domain.workflow import Step, Workflow
from core.errors import AuthenticationError, DamagedRecord
from core.storage.calls.generations import GenerationStore, to_body, to_row
from core.storage.calls.log import LogStore
from core.storage.calls.record import log_rows
from core.storage.engine import damaged
from core.storage.engine.database import _MIGRATIONS, Database, to_url
from core.storage.engine.writer import Writer
from dashboard import process
from tests.builders import a_generation
from tests.conftest import ROOT, Open

COLUMNS = {
    "generation_bodies": ("messages", "parameters", "tools", "tool_calls", "receipts"),
    "generations": ("usages",),
    "workflows": ("yaml",),
    "workflow_runs": ("spec", "inputs"),
    "evaluations": ("plan",),
    "experiments": ("design",),
    "experiment_variants": ("parameters",),
    "experiment_looks": ("sums",),
    "aliases": ("target",),
    "budgets": ("thresholds", "forecast_thresholds"),
    "api_keys": ("scopes", "models", "tags"),
    "team_prices": ("row",),
    "price_rows": ("rates",),
    "deliveries": ("payload",),
    "audit": ("detail",),
}
DAMAGE = ("-5802055775280033018", "{", "null", '{"a": 1}', '[{"a": 1}]', "[[", "[" * 5000)
BODY = {
    "messages": (Message("user", "What is in the box?"),),
    "parameters": Parameters(temperature=0.5),
    "tools": (Tool(name="look", description="Looks.", parameters={"type": "object"}),),
    "tool_calls": (ToolCall("c1", "look", "{}"),),
    "text": "A cat.",
    "thinking": "Hm.",
}


def damage(url: str, value: Any, columns: dict[str, tuple[str, ...]] = COLUMNS) -> None:
    engine = create_engine(to_url(url))
    with engine.begin() as connection:
        for table, names in columns.items():
            for name in names:
                connection.execute(text(f"UPDATE {table} SET {name} = :value"), {"value": value})  # noqa: S608
    engine.dispose()


@pytest.mark.parametrize("missing", ["tools", "operation", "usages"])
def test_a_row_without_one_of_its_columns_is_refused(database_url: str, missing: str):
    database = Database(database_url)
    writer = Writer(database)
    row, body = to_row(a_generation("g1")), to_body(a_generation("g1"), "full")
    for values in (row, body):
        values.pop(missing, None)

    failed = writer.record_together(log_rows, row, body).exception()
    writer.record_together(log_rows, to_row(a_generation("g2")), None).result()

    assert missing in str(failed)
    assert [g.id for g in LogStore(database).latest()] == ["g2"]
    writer.close()
    database.close()


def test_a_database_with_the_demo_of_before_is_healed(open_manager: Open, empty_database_url: str):
    from alembic import command
    from alembic.config import Config

    engine = create_engine(to_url(empty_database_url))
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    calls = json.dumps([["c1", "look", "{}", ""]])
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for id_, operation, value in (
            ("g1", "-5802055775280033018", "-5802055775280033018"),
            ("g2", "embeddings", calls),
        ):
            connection.execute(text("INSERT INTO generations (id, created_at, request_model, provider, source, operation, status, input_tokens, cached_tokens, output_tokens, thinking_tokens, cost_nano_usd, cost_status, latency_us) VALUES (:id, 1700000000000000, 'sim-fast', 'simulated', 'demo', :operation, 'ok', 10, 0, 5, 0, 1000, 'priced', 500000)"), {"id": id_, "operation": operation})  # fmt: skip
            connection.execute(text("INSERT INTO generation_bodies (generation_id, messages, text, tools, tool_calls) VALUES (:id, '[[\"user\", \"Hi\"]]', 'Ho', NULL, :value)"), {"id": id_, "value": value})  # fmt: skip
        connection.execute(text("UPDATE generation_bodies SET tools = '77' WHERE generation_id = 'g1'"))
    engine.dispose()

    mm = open_manager(empty_database_url)

    assert (mm.log.get("g1").operation, mm.log.get("g2").operation) == ("chat", "embeddings")
    assert (mm.log.get("g1").damaged, mm.log.get("g1").text) == ((), "Ho")
    assert [call.name for call in mm.log.get("g2").tool_calls] == ["look"]


def test_a_damaged_call_is_shown_without_what_cannot_be_read(mm: ModelManager, database_url: str):
    whole = a_generation("g1", usages=(Usage(input_tokens=1), Usage(input_tokens=9)), **BODY)
    testing.record(mm, whole)
    fields = (*COLUMNS["generation_bodies"], "usages")
    assert mm.log.get("g1").damaged == ()

    for value in DAMAGE:
        for name in fields:
            damage(database_url, value, {"generations" if name == "usages" else "generation_bodies": (name,)})
            for g in (mm.log.get("g1"), *mm.log.latest(text="cat"), *mm.log.by_ref("none")):
                assert g.damaged == (name,), (name, value)
                assert generation_view(g)["damaged"] == list(g.damaged)
                assert (g.text, g.usage.input_tokens) == ("A cat.", 10)
            assert set(mm.log.previews(["g1"])) == {"g1"}
            with mm.database.write() as connection:
                GenerationStore.delete_source(connection, "api")
            testing.record(mm, whole)


def fill(mm: ModelManager) -> str:
    """One record or more of each kind; gives a key."""
    rng, now_us = np.random.default_rng(1), clock.now_us()
    with mm.database.write() as connection:
        demo._workflow_run(connection, rng, now_us)
        demo._comparison(connection, rng, now_us, 1)
    mm.experiments.create("Ours", variants=[Variant(position=at, name="AB"[at], model="sim-fast") for at in (0, 1)])
    mm.workflows.save(Workflow(name="ours", steps=(Step(name="only", prompt="{{input}}"),)))
    mm.aliases.set("ours", Target(model="sim-fast"))
    mm.budgets.create("b", "5", action="stop")
    mm.prices.set_price({"provider": "gemini", "model": "gemini-2.5-flash", "input": "1", "output": "2"})
    mm.generate("Hello", model="sim-fast")
    return mm.keys.create("program", scopes=("call",))[1]


OTHER_KINDS = {
    "generations created_at latency_us cost_nano_usd input_tokens": ("generations/{}",),
    "generations request_model note tags more_usage": ("generations/{}",),
    "generation_bodies text messages parameters": ("generations/{}",),
    "rollups_hour n latency_sum_us latency_max_us latency_histogram model": ("metrics?simulated=true", "costs?simulated=true"),
    "rollups_day latency_min_us ttft_histogram source": ("metrics?simulated=true",),
    "spend_by cost_nano_usd bucket_at value": ("costs?simulated=true",),
    "step_runs started_at cost_nano_usd tokens output": ("runs", "runs/r_demo"),
    "workflow_runs created_at cap_nano_usd": ("runs", "runs/r_demo"),
    "feedback updated_at rating text": ("feedback?simulated=true", "generations/{}/feedback"),
    "alerts since threshold text": ("alerts",),
    "budget_raises expires_at extra_nano_usd reason": ("budgets",),
    "evaluations created_at plan": ("comparisons", "evaluations"),
}  # fmt: skip


def test_a_value_of_another_kind_takes_nothing_else_with_it(open_manager: Open, sqlite_url: str):
    """SQLite keeps whatever another program writes: a word as a number, a time beyond all years, what is no UTF-8."""
    mm = open_manager(sqlite_url, takes_up=False)
    fill(mm)
    id_ = mm.log.latest()[0].id
    mm.feedback.give(id_, {"rating": 4, "text": "Well."})
    mm.budgets.raise_once(mm.budgets.statuses()[0].budget.id, "1", reason="more")
    mm.alerts.evaluate()
    client = TestClient(make_app(lambda: mm))
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as file:
        file.execute("PRAGMA ignore_check_constraints = on")
        for words, paths in OTHER_KINDS.items():
            table, *columns = words.split()
            file.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table}")  # noqa: S608 - names of our own
            for name, value in product(columns, ("'abc'", "9223372036854775807", "CAST(x'ff' AS TEXT)")):
                file.execute(f"UPDATE OR IGNORE {table} SET {name} = {value}")  # noqa: S608
                for path in paths:
                    answer = client.get("/" + path.format(id_))
                    assert answer.status_code < 500 or answer.json()["code"] == "damaged_record", (table, name, value)
                mm.log.latest()
                assert mm.generate("Hello", model="sim-fast").status == "ok", (table, name, value)
                file.execute(f"DELETE FROM {table}")  # noqa: S608
                file.execute(f"INSERT INTO {table} SELECT * FROM kept")  # noqa: S608
            file.execute("DROP TABLE temp.kept")


def test_everything_else_goes_on_where_every_record_is_damaged(
    open_manager: Open, database_url: str, caplog: pytest.LogCaptureFixture
):
    with open_manager(database_url) as mm:
        secret = fill(mm)
    damaged._told.clear()

    with caplog.at_level(logging.WARNING):
        for value in DAMAGE[::3]:
            damage(database_url, value)
            with open_manager(database_url) as mm:
                check_damaged(mm, secret)

    told = [record.getMessage() for record in caplog.records if "workflow run r_demo" in record.getMessage()]
    assert len(told) == 1  # once, however often it is read


def check_damaged(mm: ModelManager, secret: str) -> None:
    assert mm.workflows.runs() == mm.comparisons.latest(100) == mm.experiments.all() == mm.aliases.all() == []
    for read in (lambda: mm.workflows.run("r_demo"), lambda: mm.workflows.get("ours")):
        with pytest.raises(AimmError, match="cannot be read"):
            read()
    with pytest.raises(DamagedRecord, match="comparison c_demo001 is damaged"):
        mm.comparisons.get("c_demo001")
    assert "ours" in mm.workflows.definitions.unreadable() and "analysis" in mm.workflows.all()
    with pytest.raises(AuthenticationError):  # of a key whose rules are lost, nobody knows what it may do
        mm.keys.find(secret)
    assert [(b.name, b.limit_usd) for b in (status.budget for status in mm.budgets.statuses())] == [("b", Decimal(5))]
    assert len(mm.prices.unreadable) == 1
    assert mm.generate("Hello", model="sim-fast").status == "ok"


def test_pages_render_where_every_record_is_damaged(open_manager: Open, sqlite_url: str):
    mm = open_manager(sqlite_url)
    fill(mm)
    damage(sqlite_url, "-58020")
    st.cache_data.clear()
    process.use(mm)
    try:
        app = AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120).run()
        for page in ("workflows", "compare", "experiments", "gateway", "models"):
            app.switch_page(f"pages/{page}.py").run()
            assert not app.exception, (page, [error.message for error in app.exception])
    finally:
        process.use(None)
        st.cache_data.clear()
