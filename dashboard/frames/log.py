"""Calls on record, and people's opinions of them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import streamlit as st

from core.domain.generation import Generation
from core.domain.log.breakdown import Cell
from core.domain.log.filter import NAMES, LogFilter, LogPage, from_texts
from core.domain.metrics import Counted, Feedback
from dashboard import formatting, tables
from dashboard.process import manager
from dashboard.visitors.voter import voter

FEEDBACK_DAYS, PROMPT_LETTERS = 30, (54, 40)  # letters of a prompt: without opinions beside it, and with them
# The filters in the address, by their names there.
FILTERS = ("search", "key", *(name for name in NAMES if name not in ("from", "to", "text", "key_id")))
FEW = 51  # more than a page of the table
KIND = {True: "simulated", False: "real"}


def wanted(span: tuple[datetime, datetime] | None, given: Mapping[str, str]) -> LogFilter:
    """The filter of a range and of texts by name. Raises: InvalidRequest: A value can be found nowhere."""
    said = {"text" if name == "search" else name: value for name, value in given.items()}
    since, until = span or (None, None)
    return replace(from_texts(said, datetime.now(UTC)), since=since, until=until)


def latest(wanted: LogFilter, limit: int, offset: int = 0) -> list[Generation]:
    """The newest first."""
    return manager().log.latest(limit=limit, offset=offset, **wanted.given)


@st.cache_data(ttl=10, show_spinner=False)
def key_labels() -> dict[str, str]:
    """Every key's name, by its id; with its hint where several have one name."""
    keys = manager().keys.all()
    times = Counter(key.name for key in keys)
    return {key.id: key.name if times[key.name] == 1 else f"{key.name} ({key.hint})" for key in keys}


@st.cache_data(ttl=10, show_spinner=False, max_entries=100)
def counted(wanted: LogFilter, *, is_exact: bool = False) -> LogPage:
    """The total of all calls that a filter finds, and remarks on what is not counted."""
    page = manager().log.search(wanted, limit=FEW, is_exact=is_exact)
    is_sparse = page.since is not None and len(page.calls) < FEW  # the table looks for older ones in any case
    return manager().log.search(wanted, limit=1, is_exact=True) if is_sparse else page


@st.cache_data(ttl=10, show_spinner="Adding up …", max_entries=20)
def cells(wanted: LogFilter, by: str) -> list[Cell]:
    """The calls of a filter by one or two fields, the most expensive first. Raises: InvalidRequest."""
    return manager().log.breakdown(wanted, by)


def summed(found: Sequence[Generation]) -> Counted:
    """The same of calls that are all there are."""
    costs = [g.cost_usd for g in found if g.cost_usd is not None]
    n_failed = sum(g.status not in ("ok", "stopped") for g in found)
    return Counted(len(found), n_failed, sum(costs, Decimal(0)), len(found) - len(costs))


def whole_hours(span: tuple[datetime, datetime] | None) -> tuple[datetime, datetime] | None:
    """The hours around two moments: sums are kept by the hour."""
    if span is None:
        return None
    window = manager().monitoring.window(*span)
    return window.since, window.until


def hidden(among: Iterable[str | None]) -> Collection[str]:
    """The ones of these comparisons whose answers must not be told apart yet: who reads has not voted on them."""
    return manager().comparisons.voting.hidden({each for each in among if each}, voter())


def table(generations: Sequence[Generation], unseen: Collection[str]) -> pd.DataFrame:
    """A row a call, those of hidden comparisons left out."""
    shown = [g for g in generations if g.ref_id not in unseen]
    ids = [g.id for g in shown]
    previews = manager().log.previews(ids)
    marks = formatting.marks(manager().feedback.of(*ids))
    letters = PROMPT_LETTERS[bool(marks)]  # that the column has room for
    return tables.frame(
        shown,
        {
            "time": lambda g: g.created_at,
            "status": lambda g: g.error_class or g.status,
            "model": lambda g: g.model,
            "prompt": lambda g: formatting.short(previews.get(g.id, ""), letters) or None,
            "source": lambda g: g.source,
            "feedback": lambda g: marks.get(g.id, ""),
            "tokens": lambda g: g.usage.total_tokens,
            "latency s": lambda g: g.latency_s,
            "cost": lambda g: formatting.usd(g.cost_usd) if g.cost_status != "unknown" else "unknown",
            "id": lambda g: g.id,
        },
    )


def feedback(g: Generation) -> list[tuple[Feedback, str]]:
    """Each opinion on a call, with its author."""
    found = manager().feedback.of(g.id)
    names = {key.id: key.name for key in manager().keys.all()} if any(each.key_id for each in found) else {}
    return [(each, each.user_id or names.get(each.key_id, each.key_id) or "not said") for each in found]


@st.cache_data(ttl=10, show_spinner=False)
def feedback_sums() -> list[pd.DataFrame]:
    """Opinions of the last days, by model and by tag; what nobody said anything about is left out."""
    until = datetime.now(UTC)
    since = until - timedelta(days=FEEDBACK_DAYS)
    found = [
        [
            {by: r.name + mark, "opinions": r.n, "up": r.n_up, "down": r.n_down, "rating": r.rating}
            for simulated, mark in ((False, ""), (True, " (simulated)"))
            for r in manager().feedback.sums(since, until, by=by, simulated=simulated)
        ]
        for by in ("model", "tag")
    ]
    return [pd.DataFrame(rows) for rows in found if rows]
