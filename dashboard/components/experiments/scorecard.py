"""The scorecard of an experiment: a row a metric, with the change against the control as a bar."""

import math

from core import ExperimentReport
from core.domain.experiment import Guardrail
from core.experiments.analysis import SHARES, Contrast
from core.experiments.words import Score, bounds, signed
from core.statistics.interval import Interval
from dashboard import formatting, theme
from dashboard.components import interval
from dashboard.components.interval import Bar, Cell, Head, Pill, Row, Tone
from dashboard.frames import experiments

STATES: dict[str, tuple[str, Tone, str]] = {
    "better": ("Better", "good", "The interval leaves out no difference."),
    "within": ("Within limit", "good", "Shown to stay within its limit."),
    "worse_within": ("Worse, within limit", "warn", "It is worse, and shown to stay within its limit."),
    "worse": ("Worse", "warn", "The interval leaves out no difference."),
    "broken": ("Limit broken", "fail", "Shown to be beyond its limit."),
    "undecided": ("Not clear", "flat", "The interval holds both better and worse, or too little is known."),
}
INFORMAL = "Shown for information: the verdict does not use it."
FEW, LETTERS = "too few to tell", 32


def show(found: ExperimentReport) -> None:
    """Draw the variants beside the control; right is better in every row."""
    control, *others = found.experiment.served
    if not others:
        return
    tip = f"Against the control. The intervals hold at every look: {_level(found)} of them do."
    second = others[0].name if len(others) == 1 else "Variant"
    named = [Head(f"{formatting.short(control.name, LETTERS)} (control)", True, control.name)]
    named.append(Head(formatting.short(second, LETTERS), True, second))
    heads = [Head("Metric"), *named, Head("Change", True, tip)]
    known = [(s.metric in SHARES, s.change) for s in found.scores if s.change is not None]
    reaches = [interval.reach_of(bound for of, each in known if of == unit for bound in each) for unit in (False, True)]
    rows: list[Row | str] = []
    for variant in others:
        rows += [variant.name] if len(others) > 1 else []
        rows += [_row(found, s, reaches[s.metric in SHARES]) for s in found.scores if s.position == variant.position]
    interval.table(
        [*heads, interval.SCALE, Head("Status")], rows, theme.ink(), label=f"Scorecard of {found.experiment.name}"
    )


def _row(found: ExperimentReport, score: Score, reach: float) -> Row:
    metric, (text, tone, tip) = score.metric, STATES[score.state]
    values = {result.variant.position: result.estimates.get(metric) for result in found.results}
    control = found.experiment.served[0].position
    note = "main" if metric == found.experiment.design.primary else ""
    bar: Bar | Cell
    told, bar = Cell(formatting.UNKNOWN, FEW), Bar(0.0, -math.inf, math.inf, reach, "flat", FEW)
    if score.change is None and score.contrast is not None and score.contrast.difference.is_finite:
        # No share of the control's value, which is 0 or below, or other in each phase.
        told = Cell(signed(metric, score.contrast.difference.estimate), bounds(score.contrast), is_strong=True)
        bar = Cell("")
    elif score.change is not None and score.contrast is not None:
        told = _change(found, score.contrast, score.change)
        words = f"{told.text} ({told.note}), {text.lower()}"
        bar = Bar(*score.change, reach, tone, words, 0.0, score.is_larger_better, score.is_informal)
    return [
        Cell(experiments.label(metric), _limit(score.guard.guardrail) if score.guard else note, is_strong=True),
        *(
            Cell(experiments.value(metric, values[at]), tip=experiments.bounds(metric, values[at]))
            for at in (control, score.position)
        ),
        told,
        bar,
        Pill(text, tone, f"{tip} {INFORMAL}" if score.is_informal else tip),
    ]


def _change(found: ExperimentReport, contrast: Contrast, change: Interval) -> Cell:
    metric, n = contrast.metric, f"{contrast.n:,} {found.experiment.unit}s"
    text = experiments.changed(metric, change.estimate)
    if not change.is_finite:
        return Cell(text, FEW, n, is_strong=True)
    low, high = (experiments.changed(metric, each, unit=False) for each in change[1:])
    absolute = f"{signed(metric, contrast.difference.estimate)} ({bounds(contrast)})"
    p = "" if math.isnan(contrast.p_value) else f" · p (any look) {min(1.0, contrast.p_value):.2g}"
    return Cell(text, f"{low} to {high}", f"{absolute} · {n} · {_level(found)} at every look{p}", is_strong=True)


def _level(found: ExperimentReport) -> str:
    return f"{100 * found.analysis.confidence_level:.4g}%"


def _limit(guardrail: Guardrail) -> str:
    return f"limit +{100 * guardrail.margin:g}{' pts' if guardrail.metric in SHARES else '%'}"
