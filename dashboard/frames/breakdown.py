"""Calls of a range of time by what they were made with or for: a row a model, key, tag, user, workflow, experiment."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd

from core import SpendOf
from core.domain.metrics import MEASURES, Metrics, Window
from dashboard import formatting
from dashboard.frames import log, monitoring
from dashboard.frames.money import spend
from dashboard.frames.monitoring import Range, kept
from dashboard.process import manager

DIMENSIONS = ("model", "key", "team", "tag", "user", "workflow", "experiment")
SHOWN = 100  # the most expensive; of each, the course is read
MOST = 3  # that are said to have moved the cost
SHOWN_MEASURES = [measure for measure in MEASURES if not measure.is_wide]


class Sum(NamedTuple):
    """The calls of a value: their known cost, their number, and how many have no price."""

    usd: float
    n: int
    n_unpriced: int


NONE = Sum(0.0, 0, 0)


class Breakdown(NamedTuple):
    """A row a value, the most expensive first, with its `name`.

    moved: The values that moved the cost most, in words.
    n_more: Values that are not shown.
    rest: Calls that have none, in words.
    window: The calls that are counted.
    """

    frame: pd.DataFrame
    moved: str
    n_more: int
    rest: str
    window: Window


@kept
def by(dimension: str, of: Range, model: str | None, simulated: bool) -> Breakdown:
    return _by_model(of, model, simulated) if dimension == "model" else _by_value(dimension, of, model, simulated)


def _by_model(of: Range, model: str | None, simulated: bool) -> Breakdown:
    found = monitoring.by_model(of, model, simulated).sort_values("cost $", ascending=False, ignore_index=True)
    now, before = monitoring.totals(of, model, simulated)
    is_now, was = (
        {row["model"]: Sum(row["cost $"], row["requests"], row["unpriced calls"]) for row in each.to_dict("records")}
        for each in (found, monitoring.by_model_before(of, model, simulated))
    )
    courses = monitoring.by_model(of, model, simulated, of.bucket).pivot(index="time", columns="model", values="cost $")
    courses = courses.reindex(monitoring.over_time(of, model, simulated)["time"]).fillna(0.0)
    changes, moved = _changes(found["model"], is_now, was if before is not None else None)
    frame = pd.DataFrame(
        {
            "name": found["model"],
            "trend": [courses[name].tolist() for name in found["model"]],
            **changes,
            "calls": found["requests"],
            **{measure.column: found[measure.column] for measure in SHOWN_MEASURES},
            "tokens": found[["input", "cached", "thinking", "output"]].sum(axis=1),
            "unpriced calls": found["unpriced calls"],
            "cost $": found["cost $"],
        }
    )
    return Breakdown(_finished(frame, now), moved, 0, "", of.window)


def _by_value(dimension: str, of: Range, model: str | None, simulated: bool) -> Breakdown:
    """Of whole days; the change is that of the days that are over, against as many before them; today's, if new."""
    service, days = manager().spend, spend.days(of)
    found = service.by(dimension, days, simulated=simulated, model=model)
    shown = found[:SHOWN]
    courses = service.courses(dimension, [each.value for each in shown], days, simulated=simulated, model=model)
    times = pd.date_range(days.since, days.until, freq="D", inclusive="left")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    over = Window(days.since, min(days.until, midnight))
    before, now, was = over.previous, {}, None
    if over.until > over.since and manager().monitoring.reaches_back(before.since, simulated=simulated):
        now, was = (
            {
                each.value: Sum(float(each.cost_usd or 0), each.n, each.n_unpriced)
                for each in service.by(dimension, window, simulated=simulated, model=model)
            }
            for window in (over, before)
        )
        started = {each.value: Sum(float(each.cost_usd or 0), each.n, each.n_unpriced) for each in found}
        now = {name: each for name, each in started.items() if name not in was} | now  # what is new may be of today
    labels = log.key_labels() if dimension == "key" else {}
    changes, moved = _changes([each.value for each in shown], now, was, labels)
    frame = pd.DataFrame(
        {
            "name": [labels.get(each.value, each.value) for each in shown],
            "trend": [[float(courses[each.value].get(at.to_pydatetime(), 0)) for at in times] for each in shown],
            **changes,
            "calls": [each.n for each in shown],
            "success %": [100 * each.n_ok / each.n for each in shown],
            "tokens": [each.tokens for each in shown],
            "unpriced calls": [each.n_unpriced for each in shown],
            "cost $": [float(each.cost_usd or 0) for each in shown],
        }
    )
    if dimension == "experiment":
        won = manager().experiments.reports.successes(days, simulated=simulated)
        frame["successes"] = [won.get(name) for name in frame["name"]]
        frame["$ per success"] = frame["cost $"] / frame["successes"]
    total = manager().monitoring.total(days, model=model, simulated=simulated)
    rest = "A call with two tags is in two rows." if dimension == "tag" else _rest(dimension, found, total)
    return Breakdown(_finished(frame, total), moved, len(found) - len(shown), rest, days)


def _finished(frame: pd.DataFrame, total: Metrics) -> pd.DataFrame:
    """With the share and the cost per call; a cost of which nothing is known is none."""
    priced = frame["calls"] - frame["unpriced calls"]
    cost = frame["cost $"].where(priced > 0)
    share = cost / float(total.cost_usd) if total.cost_usd else None
    return frame.assign(**{"share": share, "per call $": cost / priced.where(priced > 0), "cost $": cost})


def _changes(
    names: Iterable[str], now: Mapping[str, Sum], was: Mapping[str, Sum] | None, labels: Mapping[str, str] = {}
) -> tuple[dict[str, list[Any]], str]:
    """Columns with the change of each cost, as a text and in USD; and those that moved most, gone ones too, in words.

    was: None = nothing to compare with. labels: Other names of values. A cost that is not known has no change.
    """
    sums = {} if was is None else {name: (now.get(name, NONE), was.get(name, NONE)) for name in {**now, **was}}
    usd = {name: a.usd - b.usd for name, (a, b) in sums.items() if not a.n_unpriced and not b.n_unpriced}
    texts = {name: _text(a, b) for name, (a, b) in sums.items() if name in usd}
    most = sorted((name for name in usd if usd[name]), key=lambda name: -abs(usd[name]))[:MOST]
    said = [
        f"{labels.get(name, name)} {formatting.usd_change(usd[name])}{f' ({texts[name]})' if texts[name] else ''}"
        for name in most
    ]
    columns: dict[str, list[Any]] = {
        "change": [texts.get(name) for name in names],
        "change $": [usd.get(name) for name in names],
    }
    return columns, f"Moved the cost most: {', '.join(said)}" if said else ""


def _text(now: Sum, was: Sum) -> str | None:
    if not was.n or not now.n:
        return "new" if now.n else "gone"
    found = formatting.change(now.usd, was.usd, now.n, was.n)
    return found.text if found else None


def _rest(dimension: str, found: list[SpendOf], total: Metrics) -> str:
    n = total.n - sum(each.n for each in found)
    usd = float(total.cost_usd) - sum(float(each.cost_usd or 0) for each in found)
    return f"{n:,} calls name no {dimension}: {formatting.usd(max(0.0, usd))}." if n > 0 else ""
