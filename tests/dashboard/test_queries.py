"""Queries of pages: none reads all of a table that grows, whatever a page shows.

SQLite without statistics chooses the same plan for ten rows as for ten million, so a small database tells.
"""

import re, time
from tests.conftest import ROOT
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import streamlit as st
from sqlalchemy import Engine, event

from streamlit.testing.v1 import AppTest

from core import ModelManager
from core.calls.call import Origin
from dashboard import process
from tests.pages import PAGES, page_app, show

pytestmark = pytest.mark.usefixtures("pages_as_served")

GROWING = {
    "generations", "generation_bodies", "call_tags", "rollups_hour", "rollups_day", "spend_by", "feedback", "comparisons",
    "candidates", "votes", "workflow_runs", "step_runs", "experiment_units", "experiment_outcomes", "experiment_runs",
    "experiment_days", "experiment_looks", "budget_spend", "cached_responses", "keyed_requests", "audit", "deliveries",
}  # fmt: skip
# What may read a whole table, by a part of its text, and why.
ALLOWED: dict[str, str] = {}
VIEWS = (
    *((page, {}) for page in PAGES),
    ("monitoring", {"range": "24h"}), ("monitoring", {"monitor_view": "Spend", "monitor_simulated": "true"}),
    ("monitoring", {"monitor_view": "Spend", "spend_by": "tag"}), ("monitoring", {"monitor_view": "Reconcile"}),
    *(("log", {name: value}) for name, value in (
        ("log_status", "failed"), ("log_status", "blocked"), ("log_source", "demo"), ("log_model", "sim-fast"),
    )),
    *(("models", {"prices_view": view}) for view in ("Unpriced calls", "Past calls")),
)  # fmt: skip


@contextmanager
def sent() -> Iterator[dict[str, Any]]:
    """Each statement sent meanwhile, with values that it was sent with."""
    found: dict[str, Any] = {}

    def hear(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            found.setdefault(statement, values)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def whole_reads(mm: ModelManager, statement: str, values: Any) -> list[str]:
    """The steps of SQLite's plan that read all of a growing table, or all of its latest part."""
    with mm.database.read() as connection:
        steps = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    names = {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", statement)}
    # The newest so many of all, along an index, end early.
    ends = "LIMIT" in statement and "USE TEMP B-TREE FOR ORDER BY" not in steps
    return [
        step
        for step in steps
        if (found := re.match(r"(SCAN|SEARCH) (\w+)", step)) and names.get(found[2], found[2]) in GROWING
        if (found[1] == "SCAN" or step.endswith("(created_at>? AND created_at<?)")) and not (ends and "INDEX" in step)
    ]


@pytest.fixture
def app(open_manager, demo_url: str) -> Iterator[AppTest]:
    """The demo's history, and one of each thing that people and programs leave behind."""
    mm = open_manager(demo_url)
    key, _ = mm.keys.create("a program", tags=["team-a"])
    g = mm.submit(mm.request("Hello", model="sim-fast"), Origin(source="api", key=key, user_id="ada")).result(10)
    mm.feedback.give(g.id, {"thumb": "up"}, user_id="ada")
    mm.budgets.create("all", 10)
    yield from page_app(mm)


def test_no_query_of_a_page_reads_all_of_a_table_that_grows(app: AppTest):
    found: dict[str, Any] = {}
    for page, given in VIEWS:
        st.cache_data.clear()
        app = AppTest.from_file(str(ROOT / "dashboard" / "shell.py"), default_timeout=120)
        app.query_params.update(given)
        t=time.process_time()
        with sent() as statements:
            show(app, page)
        print(page, given, len(statements), [re.search(r"FROM (\S+)", x)[1] for x in statements if x not in found], round(time.process_time()-t,2))
        for statement, values in statements.items():
            found.setdefault(statement, (page, values))
    mm = process.manager()
    print(len(found))
    wrong = [
        (page, steps, statement)
        for statement, (page, values) in found.items()
        if not any(part in statement for part in ALLOWED) and (steps := whole_reads(mm, statement, values))
    ]
    for each in wrong: print(each[0], each[1], each[2][:100].replace(chr(10)," "), "...", each[2][each[2].find("FROM"):][:300].replace(chr(10)," "))
    assert wrong == []
