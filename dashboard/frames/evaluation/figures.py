"""The figures behind a run's charts."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from core.domain.evaluation.run import MEASURED, OVERALL, Contestant, EvaluationRun
from core.formats.figures import signed
from core.statistics.rates import Rate, outdone, rate
from dashboard import formatting
from dashboard.frames.evaluation.items import texts
from dashboard.frames.evaluation.reading import (
    SUITE_RUNS,
    Seen,
    View,
    cells_of,
    kept,
    metric_text,
    metrics,
    rates,
    seen,
    verdicts,
)
from dashboard.process import manager

FEW, MOST_TAGS = 20, 30  # FEW: Items below which a rate says little
UNITS = {OVERALL: "points", "cost": "$", "latency": "s"}


def forest(of: Seen, view: View) -> pd.DataFrame:
    """A row a contestant and metric: its difference from the baseline as it is told, and as an improvement.

    `better`, `low`, `high` grow to the better; nan bounds = no interval can be told. unit: points, $ or s.
    """
    rows: list[dict[str, Any]] = []
    for metric in metrics(of):
        for each, verdict in zip(of.run.plan.contestants, verdicts(of, view._replace(metric=metric)), strict=True):
            if verdict is None or verdict.comparison is None:
                continue
            unit = UNITS.get(metric, "points")
            found = verdict.comparison.difference.scaled(100 if unit == "points" else 1)
            sign = -1 if metric in MEASURED else 1
            told = found.scaled(sign)
            rows.append(
                {
                    "metric": metric_text(metric).capitalize(), "contestant": f"{each.letter} {each.label}",
                    "letter": each.letter, "position": each.position, "unit": unit, "better": found.estimate,
                    "low": found.lower if found.is_finite else math.nan,
                    "high": found.upper if found.is_finite else math.nan,
                    "difference": amount(told.estimate, unit),
                    "interval": f"{amount(told.lower, unit)} to {amount(told.upper, unit)}"
                    if found.is_finite
                    else "not known",
                    "items": f"{verdict.comparison.n_items:,}",
                    "p": formatting.p_text(verdict.comparison.p_value),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def amount(value: float, unit: str) -> str:
    """A difference with its sign and its unit."""
    if unit == "$":
        return formatting.usd_change(value)
    return f"{signed(value, '.1f')} points" if unit == "points" else f"{signed(value, '.2f')} s"


class Pareto(NamedTuple):
    """Quality against cost. left_out: The letters of contestants without a known cost or a grade."""

    frame: pd.DataFrame
    left_out: list[str]


def pareto(of: Seen) -> Pareto:
    found, rows = rates(of), []
    beaten = outdone(list(found.values()))
    for each in of.run.plan.contestants:
        of_one = found.get(each.position)
        if of_one is None or of_one.passes is None or of_one.per_1000_usd is None:
            continue
        usd = of_one.per_1000_usd
        rows.append(
            {
                "letter": each.letter, "position": each.position, "contestant": f"{each.letter} {each.label}",
                "rate": of_one.passes.estimate, "rate low": of_one.passes.lower, "rate high": of_one.passes.upper,
                "usd": usd.estimate, "usd low": max(0.0, usd.lower) if usd.is_finite else usd.estimate,
                "usd high": usd.upper if usd.is_finite else usd.estimate, "outdone": each.position in beaten,
                "pass rate": percents(of_one), "per 1,000": dollars(of_one),
                "said": "another is no worse and no dearer" if each.position in beaten else "on the border",
                "items": f"{of_one.n:,}",
            }
        )  # fmt: skip
    drawn = {row["letter"] for row in rows}
    return Pareto(pd.DataFrame(rows), [each.letter for each in of.run.plan.contestants if each.letter not in drawn])


def percents(of_one: Rate) -> str:
    if of_one.passes is None:
        return formatting.UNKNOWN
    low, high = formatting.percent(of_one.passes.lower), formatting.percent(of_one.passes.upper)
    return f"{formatting.percent(of_one.passes.estimate)} ({low} to {high})"


def dollars(of_one: Rate) -> str:
    usd = of_one.per_1000_usd
    if usd is None or not usd.is_finite:
        return formatting.usd(usd.estimate if usd else None)
    return f"{formatting.usd(usd.estimate)} ({formatting.usd(usd.lower)} to {formatting.usd(usd.upper)})"


@kept
def _by_tag(key: str, _run: EvaluationRun) -> pd.DataFrame:
    known = texts(_run.plan.dataset)
    tagged = known.tags if known is not None else []
    frequent = [tag for tag, _ in Counter(tag for each in tagged for tag in each).most_common(MOST_TAGS)]
    rows: list[dict[str, Any]] = []
    for position, cells in cells_of(key, OVERALL, _run).items():
        values: dict[int, list[float]] = defaultdict(list)
        for cell in cells:
            if (value := cell.value(OVERALL)) is not None:
                values[cell.item].append(value)
        means: dict[str, list[float]] = defaultdict(list)
        for item, given in values.items():
            for tag in tagged[item] if item < len(tagged) else ():
                means[tag].append(sum(given) / len(given))
        for tag in frequent:
            found = means[tag]
            told = rate(
                position, len(found), sum(found), sum(each * each for each in found), 0, 0.0, 0.0,
                repetitions=_run.plan.repetitions,
            )  # fmt: skip
            each = _run.plan.contestants[position]
            rows.append(
                {
                    "tag": tag, "letter": each.letter, "contestant": f"{each.letter} {each.label}", "n": told.n,
                    "rate": told.passes.estimate if told.passes else None, "pass rate": percents(told),
                    "text": formatting.percent(told.passes.estimate, 0) if told.passes else formatting.UNKNOWN,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def by_tag(of: Seen) -> pd.DataFrame:
    """A row a tag and contestant, the most frequent tags first; empty without tags."""
    return _by_tag(of.key, of.run)


def trend(of: Seen) -> pd.DataFrame:
    """A row a run of the suite and contestant, oldest first: its pass rate with the interval, and baselines."""
    evaluations = manager().evaluations
    runs, _ = evaluations.page(3 * SUITE_RUNS, name=of.run.plan.name)
    named: dict[str, list[str]] = defaultdict(list)
    for baseline in evaluations.verdicts.baselines():
        named[baseline.run_id].append(baseline.name)
    rows = []
    for run in sorted(runs, key=lambda run: run.created_at):
        found = rates(seen(run)) if not run.is_running else {}
        keys = [line_of(each) for each in run.plan.contestants]
        for each, key in zip(run.plan.contestants, keys, strict=True):
            of_one = found.get(each.position)
            if of_one is None or of_one.passes is None:
                continue
            rows.append(
                {
                    "run": run.id, "at": formatting.when(run.created_at), "contestant": f"{each.letter} {each.label}",
                    "line": key if keys.count(key) == 1 else f"{each.letter} {each.label}",
                    "rate": of_one.passes.estimate, "low": of_one.passes.lower, "high": of_one.passes.upper,
                    "pass rate": percents(of_one), "items": f"{of_one.n:,}", "dataset": run.plan.dataset,
                    "baseline": ", ".join(named[run.id]), "is here": run.id == of.run.id,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def line_of(each: Contestant) -> str:
    """The name of a contestant over several runs: its own, or its prompt whatever the version, and its model."""
    prompt, what = each.prompt.partition("@")[0], each.workflow or each.function or each.model
    return each.name or (f"{prompt} · {what}" if prompt else what)


def few(of: Seen) -> Sequence[str]:
    """A remark where a run has so few items that its rates say little."""
    n = of.run.n_items
    return [f"{n:,} items are few: the intervals are what can be relied on."] if n < FEW else []
