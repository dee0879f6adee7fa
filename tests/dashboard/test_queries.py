"""Queries of pages: none reads all of a table that grows, whatever a page shows.

SQLite without statistics chooses the same plan for ten rows as for ten million, so a small database tells.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import Connection, Engine, SelectBase, create_engine, event, text
from sqlalchemy.dialects import postgresql
from streamlit.testing.v1 import AppTest

from core import ModelManager
from core.calls.origin import Origin
from tests.conftest import ROOT
from tests.pages import PAGES, page_app, show

pytestmark = pytest.mark.usefixtures("pages_as_served")

GROWING = {
    "generations", "generation_bodies", "call_tags", "rollups_hour", "rollups_day", "spend_by", "feedback",
    "votes", "workflow_runs", "step_runs", "experiment_units", "experiment_outcomes", "experiment_runs",
    "experiment_days", "experiment_looks", "evaluations", "evaluation_cells", "budget_spend", "cached_responses", "keyed_requests", "audit", "deliveries",
}  # fmt: skip
# What may, by a part of its text, and why.
ALLOWED = {
    "count(*) - count(generations.cost_nano_usd)": "spend to the microsecond: the calls of the two hours that are cut",
    "SELECT rollups_day.provider, rollups_day.model, min(": "a row a day, model and outcome; kept for a minute",
    "FROM votes JOIN evaluations": "people's own clicks; shared by all viewers for seconds",
    "WHERE generations.cost_nano_usd IS NULL": "unpriced calls alone, from an index that holds no others",
}
# Which of the two is read first, PostgreSQL tells from how many rows they have.
BY_ROWS = "FROM feedback JOIN generations"
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    *((page, {}) for page in PAGES),
    ("monitoring", {"monitor_view": "Spend", "monitor_simulated": "true"}),
    ("monitoring", {"monitor_view": "Spend", "spend_by": "tag"}),
    ("log", {"log_status": "blocked", "log_model": "sim-fast"}),
    ("log", {"log_range": "1000000000-4000000000", "log_source": "demo"}),
    ("log", {"log_calls": "real"}),
    ("compare", {"compare_mode": "Dataset"}),
    ("log", {"log_calls": "simulated"}),
)


@contextmanager
def sent() -> Iterator[dict[str, Any]]:
    """Each query sent meanwhile, with values that it was sent with."""
    found: dict[str, Any] = {}

    def hear(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            found.setdefault(statement, values)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def whole_reads(mm: ModelManager, statement: str, values: Any) -> list[str]:
    """The steps of its plan that read all of a table that grows, or all of a span of time in it."""
    with mm.database.read() as connection:
        steps = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    names = {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", statement)}
    # The newest so many, along an index, end early.
    ends = "LIMIT" in statement and "USE TEMP B-TREE FOR ORDER BY" not in steps
    found = []
    for step in steps:
        kind, name = f"{step} -".split()[:2]
        is_whole = kind == "SCAN" or (kind == "SEARCH" and step.endswith("(created_at>? AND created_at<?)"))
        if is_whole and names.get(name, name) in GROWING and not (ends and "USING" in step):
            found.append(step)
    return found


@contextmanager
def sent_to_postgres() -> Iterator[list[str]]:
    """The same as PostgreSQL would be asked, the values in it."""
    found: list[str] = []

    def hear(_connection: Any, asked: Any, _many: Any, values: Any, _options: Any) -> None:
        if isinstance(asked, SelectBase) and "json_each" not in str(asked):  # SQLite's own
            options = {"literal_binds": True}
            told = str(asked.params(values).compile(dialect=postgresql.dialect(), compile_kwargs=options))
            found.append(told.replace("+generations.", "generations."))  # the sign has SQLite pass an index over

    event.listen(Engine, "before_execute", hear)
    try:
        yield found
    finally:
        event.remove(Engine, "before_execute", hear)


def whole_reads_of_postgres(connection: Connection, statement: str) -> list[str]:
    [[[found]]] = connection.execute(text("EXPLAIN (FORMAT JSON) " + statement.replace(":", "\\:")))
    return list(whole_steps(found["Plan"]))


def whole_steps(plan: dict[str, Any], *, ends: bool = False) -> Iterator[str]:
    """ends: A step above takes the first rows and no more."""
    kind, below = plan["Node Type"], plan.get("Plans", [])
    if plan.get("Relation Name") in GROWING:
        indexes = below if kind == "Bitmap Heap Scan" else [plan]
        conditions = " ".join(each.get("Index Cond", "") for each in indexes)
        columns = set(re.findall(r"\((\w+)(?:\)::\w+)? ", conditions))
        if columns <= {"created_at"} and (kind == "Seq Scan" or not ends):
            yield f"{kind} of {plan['Relation Name']}: {conditions}"
    for each in below:
        yield from whole_steps(each, ends=kind == "Limit" or (ends and kind not in ("Sort", "Aggregate", "Hash")))


@pytest.fixture
def mm(open_manager, demo_url: str) -> ModelManager:
    """The demo's history, and one of each thing that people and programs leave behind."""
    mm: ModelManager = open_manager(demo_url)
    key, _ = mm.keys.create("a program", tags=["team-a"])
    g = mm.submit(mm.request("Hello", model="sim-fast"), Origin(source="api", key=key, user_id="ada")).result(10)
    mm.feedback.give(g.id, {"thumb": "up"}, user_id="ada")
    mm.budgets.create("all", 10)
    return mm


@pytest.mark.postgres
def test_no_query_of_a_page_reads_all_of_a_table_that_grows(mm: ModelManager, request: pytest.FixtureRequest):
    found: dict[str, Any] = {}
    of_postgres: dict[str, str] = {}
    for _ in page_app(mm):
        for page, given in VIEWS:
            st.cache_data.clear()
            app = AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120)
            app.query_params.update(given)
            with sent() as statements, sent_to_postgres() as others:
                show(app, page)
            found |= statements
            of_postgres |= {re.sub(r"'[^']*'|\b\d+\b", "?", each): each for each in others}

    assert len(found) > 50
    found, of_postgres = ({x: y for x, y in each.items() if not is_allowed(x)} for each in (found, of_postgres))
    assert {x: steps for x, values in found.items() if (steps := whole_reads(mm, x, values))} == {}
    with create_engine(request.getfixturevalue("postgres_url")).connect() as connection:
        # With no rows it would rather read all: what it does where it must not tells whether an index serves.
        for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            connection.exec_driver_sql(f"SET enable_{way} = off")
        asked = [each for x, each in of_postgres.items() if BY_ROWS not in x]
        assert {each: steps for each in asked if (steps := whole_reads_of_postgres(connection, each))} == {}
        assert len(asked) > 50
        assert whole_reads_of_postgres(connection, "SELECT * FROM generations ORDER BY latency_us LIMIT 5")
        assert not whole_reads_of_postgres(connection, "SELECT * FROM generations ORDER BY created_at DESC LIMIT 5")


def is_allowed(statement: str) -> bool:
    return any(part in statement for part in ALLOWED)


def test_a_whole_read_is_noticed(mm: ModelManager):
    every = "SELECT * FROM generations WHERE created_at >= ? AND created_at < ? ORDER BY latency_us LIMIT 5"

    assert whole_reads(mm, "SELECT count(*) FROM generations", ())
    assert whole_reads(mm, "SELECT * FROM votes AS v ORDER BY choice LIMIT 5", ())
    assert whole_reads(mm, every, (0, 1))
    assert not whole_reads(mm, "SELECT * FROM generations ORDER BY created_at DESC LIMIT 5", ())
    assert not whole_reads(mm, "SELECT * FROM generations WHERE source = ? ORDER BY created_at LIMIT 5", ("api",))
