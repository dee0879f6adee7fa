"""The table of a run's contestants: pass rate with its interval, what failed, what it cost."""

import math

import streamlit as st

from core.domain.evaluation.run import Tally
from core.evaluation.verdict import Verdict
from dashboard import formatting, theme
from dashboard.charts.colours import of_contestant
from dashboard.components import interval
from dashboard.components.interval import Bar, Cell, Head, Pill, Row
from dashboard.frames.evaluation import reading
from dashboard.frames.evaluation.reading import Seen, View

_HEADS = (
    Head("Contestant"),
    Head(
        "Pass rate", is_number=True, tip="Passes among the answers that were graded; errors are neither pass nor fail."
    ),
    Head("0 – 100%, 95% interval", is_scale=True),
    Head("Failed", is_number=True),
    Head("Errors", is_number=True),
    Head("Not run", is_number=True),
    Head("Latency", is_number=True),
    Head("Cost", is_number=True),
    Head("Per 1,000", is_number=True, tip="USD for 1,000 answers, with the 95% interval over items."),
)


def draw(of: Seen, view: View | None) -> None:
    """view: What is compared; None = nothing yet, as the run goes on."""
    ink, mode, rates = theme.ink(), theme.mode(), reading.rates(of)
    found = reading.verdicts(of, view) if view is not None else ()
    heads = [*_HEADS, *([Head("Items")] if any(found) else [])]
    rows: list[Row] = []
    for each in of.run.plan.contestants:
        tally = next((t for t in of.tallies if t.contestant == each.position), Tally(contestant=0, outcomes={}))
        rate, out = rates.get(each.position), tally.outcomes
        passes, usd = (rate.passes, rate.per_1000_usd) if rate else (None, None)
        bar: Bar | Cell = Cell(formatting.UNKNOWN)
        if passes is not None and rate is not None:
            bounds = f"{formatting.percent(passes.lower)} to {formatting.percent(passes.upper)}, {rate.n:,} items"
            text = f"{formatting.percent(passes.estimate)}, 95% interval {bounds}"
            bar = Bar(*passes, reach=0.5, tone="flat", text=text, zero=0.5, has_zero=False)
        per_1000 = formatting.usd(usd.estimate if usd else None)
        spread = (
            ""
            if usd is None or math.isinf(usd.lower)
            else f"{formatting.usd(usd.lower)} to {formatting.usd(usd.upper)}"
        )
        rows.append(
            [
                Cell(f"{each.letter} {each.label}", dot=of_contestant(each.position, mode), is_strong=True,
                     note="baseline" if any(found) and view is not None and view.is_baseline(each.position) else ""),
                Cell(formatting.percent(passes.estimate if passes else None), tip=bar.text),
                bar,
                Cell(_count(out.get("fail", 0)), note=_unchecked(out.get("unchecked", 0))),
                Cell(_count(out.get("error", 0))),
                Cell(_count(out.get("not_run", 0))),
                Cell(formatting.seconds(tally.latency_s)),
                Cell(formatting.usd(tally.cost_usd) if tally.n_cost else formatting.UNKNOWN,
                     note=f"{tally.n_reused:,} reused" if tally.n_reused else ""),
                Cell(per_1000, tip=spread),
                *([_changes(found[each.position])] if any(found) else []),
            ]
        )  # fmt: skip
    with st.container(key="eval_contestants"):
        interval.table(heads, rows, ink, label="Contestants")


def _count(n: int) -> str:
    return f"{n:,}" if n else "0"


def _unchecked(n: int) -> str:
    return f"{n:,} unchecked" if n else ""


def _changes(verdict: Verdict | None) -> Pill | Cell:
    if verdict is None or not verdict.items:
        return Cell("")
    worse, better = verdict.n("broken", "worse"), verdict.n("fixed", "better")
    tone: interval.Tone = "flat"
    if verdict.metric == "pass" and worse > better:
        tone = "warn"
    return Pill(f"{worse:,} worse, {better:,} better", tone, f"Items against {verdict.baseline.label}")
