"""Calls of a range of time by what they were made with or for: a row a model, key, tag, user, workflow, experiment."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd

from core import SpendOf
from core.domain.metrics import MEASURES, Metrics, Window
from dashboard import formatting
from dashboard.frames import log, monitoring, spend
from dashboard.frames.monitoring import Range, kept
from dashboard.process import manager

DIMENSIONS = ("model", "key", "tag", "user", "workflow", "experiment")
SHOWN = 100  # the most expensive; of each, the course is read
SHOWN_MEASURES = [measure for measure in MEASURES if not measure.is_wide]


class Breakdown(NamedTuple):
    """A row a value, the most expensive first, with its `name`.

    n_more: Values that are not shown.
    rest: Calls that have none, in words.
    window: The calls that are counted.
    """

    frame: pd.DataFrame
    n_more: int
    rest: str
    window: Window


@kept
def by(dimension: str, of: Range, model: str | None, simulated: bool) -> Breakdown:
    return _by_model(of, model, simulated) if dimension == "model" else _by_value(dimension, of, model, simulated)


def _by_model(of: Range, model: str | None, simulated: bool) -> Breakdown:
    found = monitoring.by_model(of, model, simulated).sort_values("cost $", ascending=False, ignore_index=True)
    now, before = monitoring.totals(of, model, simulated)
    was = monitoring.by_model_before(of, model, simulated).set_index("model")[["cost $", "requests"]].T.to_dict("list")
    courses = monitoring.by_model(of, model, simulated, of.bucket).pivot(index="time", columns="model", values="cost $")
    courses = courses.reindex(monitoring.over_time(of, model, simulated)["time"]).fillna(0.0)
    changes = [
        _change((row["cost $"], row["requests"]), was.get(row["model"])) if before is not None else None
        for row in found.to_dict("records")
    ]
    frame = pd.DataFrame(
        {
            "name": found["model"],
            "trend": [courses[name].tolist() for name in found["model"]],
            "change": changes,
            "calls": found["requests"],
            **{measure.column: found[measure.column] for measure in SHOWN_MEASURES},
            "tokens": found[["input", "cached", "thinking", "output"]].sum(axis=1),
            "unpriced calls": found["unpriced calls"],
            "cost $": found["cost $"],
        }
    )
    return Breakdown(_finished(frame, now), 0, "", of.window)


def _by_value(dimension: str, of: Range, model: str | None, simulated: bool) -> Breakdown:
    """Of whole days; the change is that of the days that are over, against as many before them."""
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
            {each.value: each for each in service.by(dimension, window, simulated=simulated, model=model)}
            for window in (over, before)
        )
    frame = pd.DataFrame(
        {
            "name": [each.value for each in shown],
            "trend": [[float(courses[each.value].get(at.to_pydatetime(), 0)) for at in times] for each in shown],
            "change": [
                None if was is None else _change(*(_sums(of_, each.value) for of_ in (now, was))) for each in shown
            ],
            "calls": [each.n for each in shown],
            "success %": [100 * each.n_ok / each.n for each in shown],
            "tokens": [each.tokens for each in shown],
            "unpriced calls": [each.n_unpriced for each in shown],
            "cost $": [float(each.cost_usd or 0) for each in shown],
        }
    )
    if dimension == "key":
        frame["name"] = [log.key_labels().get(name, name) for name in frame["name"]]
    if dimension == "experiment":
        won = manager().experiments.reports.successes(days, simulated=simulated)
        frame["successes"] = [won.get(name) for name in frame["name"]]
        frame["$ per success"] = frame["cost $"] / frame["successes"]
    total = manager().monitoring.total(days, model=model, simulated=simulated)
    rest = "A call with two tags is in two rows." if dimension == "tag" else _rest(dimension, found, total)
    return Breakdown(_finished(frame, total), len(found) - len(shown), rest, days)


def _finished(frame: pd.DataFrame, total: Metrics) -> pd.DataFrame:
    """With the share and the cost per call; a cost of which nothing is known is none."""
    priced = frame["calls"] - frame["unpriced calls"]
    cost = frame["cost $"].where(priced > 0)
    share = cost / float(total.cost_usd) if total.cost_usd else None
    return frame.assign(**{"share": share, "per call $": cost / priced.where(priced > 0), "cost $": cost})


def _sums(found: Mapping[str, SpendOf], value: str) -> tuple[float, int] | None:
    each = found.get(value)
    return None if each is None else (float(each.cost_usd or 0), each.n)


def _change(now: Any, was: Any) -> str | None:
    """The change of a cost as a text, from (cost, calls); None where there is nothing to compare."""
    if now is None or was is None:
        return "new" if was is None and now is not None else None
    found = formatting.change(now[0], was[0], int(now[1]), int(was[1]))
    return found.text if found else None


def _rest(dimension: str, found: list[SpendOf], total: Metrics) -> str:
    n = total.n - sum(each.n for each in found)
    usd = float(total.cost_usd) - sum(float(each.cost_usd or 0) for each in found)
    return f"{n:,} calls name no {dimension}: {formatting.usd(max(0.0, usd))}." if n > 0 else ""
