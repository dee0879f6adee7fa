"""What the analysis carries, in words with reasons. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.experiment import Decision, Experiment
from core.experiments.analysis import MIN_FOR_MONEY, MONEY, SHARES, Analysis, Contrast, GuardResult
from core.experiments.planner import days_left
from core.experiments.words import amount, effect, names
from core.statistics.sequential import MIN_PER_SIDE

DAYS_A_MONTH = 30.4375


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What comes a day, from the last days: units of all variants together, and calls."""

    units: float = 0.0
    calls: float = 0.0


def decide(experiment: Experiment, analysis: Analysis, traffic: Traffic = Traffic()) -> Decision:
    """A decision with its reasons; a higher rate alone never makes a winner.

    hold: the split is off, and nobody has said that this was seen. stop: a guardrail is broken by every variant.
    ship: the rule is met by an interval that holds at every look. inconclusive: everything else.
    """
    if analysis.is_ratio_mismatch and experiment.acknowledged_at is None:
        return Decision(
            action="hold",
            headline="Hold: the split is not what the weights promise",
            reasons=(
                "Units fell on the variants in another ratio than planned, more than chance explains.",
                "Something drops or doubles units; until it is found, the rates cannot be compared.",
            ),
        )
    money = _money(experiment, analysis, traffic)
    broken = [guard for guard in analysis.guards if guard.state == "broken"]
    treatments = experiment.served[1:]
    if treatments and {guard.variant.position for guard in broken} >= {v.position for v in treatments}:
        reasons = tuple(_guard_words(guard) for guard in broken)
        return Decision(action="stop", headline=f"Stop: guardrail {names(broken[0].guardrail.metric)}", reasons=reasons, money=money)  # fmt: skip
    primary = [c for c in analysis.contrasts if c.metric == experiment.design.primary]
    out = {guard.variant.position for guard in broken}
    better = [c for c in primary if c.variant.position not in out and _is_good(experiment, analysis, c)]
    warnings = tuple(_guard_words(guard) for guard in analysis.guards if guard.state != "safe")
    if better:
        best = max(better, key=lambda c: _gain(experiment, c))
        return _ship(experiment, analysis, best, warnings, money)
    worse = [c for c in primary if _is_bad(experiment, c) or c.variant.position in out]
    if primary and len(worse) == len(treatments):
        control = experiment.served[0]
        return Decision(
            action="ship",
            headline=f"Keep {control.name}: every other variant is worse",
            reasons=tuple(effect(c, analysis.confidence_level) for c in primary) + warnings,
            winner=control.position,
            money=money,
        )
    return _inconclusive(experiment, analysis, traffic, warnings, money)


def _gain(experiment: Experiment, contrast: Contrast) -> float:
    """The difference, larger = better."""
    sign = 1 if experiment.design.is_larger_better(contrast.metric) else -1
    return sign * contrast.difference.estimate


def _is_good(experiment: Experiment, analysis: Analysis, contrast: Contrast) -> bool:
    design = experiment.design
    if design.rule == "superior":
        return contrast.is_told and _gain(experiment, contrast) > 0
    cost = analysis.contrast(contrast.variant.position, "cost")
    is_cheaper = cost is not None and cost.difference.upper < 0 and cost.smallest >= MIN_FOR_MONEY
    return contrast.is_claimed and contrast.at_most_worse < design.margin and is_cheaper


def _not_both(analysis: Analysis, contrast: Contrast) -> str:
    cost = analysis.contrast(contrast.variant.position, "cost")
    dearer = cost is not None and cost.difference.lower > 0
    what = "it is dearer" if dearer else "it is not shown to be cheaper"
    return f"{contrast.variant.name} is better, but {what}; the rule asks for both."


def _is_bad(experiment: Experiment, contrast: Contrast) -> bool:
    return contrast.is_told and _gain(experiment, contrast) < 0


def _ship(experiment: Experiment, analysis: Analysis, best: Contrast, warnings: Sequence[str], money: str) -> Decision:
    reasons = [effect(best, analysis.confidence_level)]
    if best.is_told and _gain(experiment, best) > 0:
        reasons.append("The interval leaves out no difference, and it holds however often one looks.")
    else:
        margin = amount(best.metric, experiment.design.margin, is_difference=True)
        reasons.append(f"It is cheaper, and not worse by the margin of {margin}.")
    if analysis.n_comparisons > 1:
        reasons.append(f"The interval is corrected for {analysis.n_comparisons} comparisons.")
    if len(experiment.served) > 2:
        reasons.append("Variants other than the control were not compared with each other.")
    return Decision(
        action="ship",
        headline=f"Ship {best.variant.name}",
        reasons=(*reasons, *warnings),
        winner=best.variant.position,
        money=money,
    )


def _inconclusive(
    experiment: Experiment, analysis: Analysis, traffic: Traffic, warnings: Sequence[str], money: str
) -> Decision:
    design, ended = experiment.design, experiment.status != "running"
    primary = [c for c in analysis.contrasts if c.metric == design.primary]
    reasons = [effect(contrast, analysis.confidence_level) for contrast in primary]
    if design.rule == "not_worse_and_cheaper":
        reasons += [_not_both(analysis, contrast) for contrast in primary if contrast.is_told and _gain(experiment, contrast) > 0]  # fmt: skip
    smallest = (
        min((contrast.smallest for contrast in primary), default=0) if len(primary) == len(experiment.served) - 1 else 0
    )
    needed = MIN_FOR_MONEY if design.primary in MONEY else MIN_PER_SIDE
    if smallest < needed:
        return Decision(
            action="inconclusive",
            headline="Inconclusive: too few outcomes" if ended else "Keep running: too few outcomes",
            reasons=(f"The smallest variant has {smallest:,} of the {needed} units from which on anything is claimed.", *reasons, *warnings),
            money=money,
        )  # fmt: skip
    small = design.smallest_effect
    if small is not None and primary and all(abs(b) < small for c in primary for b in c.difference[1:]):
        text = amount(design.primary, small, is_difference=True)
        reasons.append(f"No difference of {text} or more is left in any interval: choose by cost.")
        return Decision(
            action="inconclusive", headline="No difference that matters", reasons=(*reasons, *warnings), money=money
        )
    days = days_left(experiment, analysis, traffic.units)
    if ended:
        headline = "Inconclusive: the data do not carry a decision"
    elif days is None:
        headline = "Keep running: the data do not carry a decision yet"
    elif days > design.max_days:
        headline = "Cannot be told at this traffic"
        reasons.append(f"A difference as small as this would take {_days(days)}; {design.max_days} days are planned.")
    else:
        headline = f"Keep running: {_days(days)}"
        reasons.append("The estimate is for a difference as large as the one seen or the smallest that matters.")
    return Decision(
        action="inconclusive",
        headline=headline,
        reasons=(*reasons, *warnings),
        days_left=None if ended else days,
        money=money,
    )


def _days(days: float) -> str:
    n = max(1, round(days))
    return "about 1 day" if n == 1 else f"about {n:,} days" if n < 3650 else "more than ten years"


def _guard_words(guard: GuardResult) -> str:
    metric = guard.guardrail.metric
    bound = amount(metric, guard.guardrail.margin, is_difference=True) if metric in SHARES else f"{100 * guard.guardrail.margin:g} %"  # fmt: skip
    head = f"{guard.variant.name}: {names(metric)}"
    unit = 100
    if guard.state == "broken":
        low, high = (f"{unit * (value + guard.guardrail.margin):+.1f}" for value in guard.excess[1:])
        what = "points" if metric in SHARES else "%"
        return f"{head} is beyond its bound of +{bound}: {low} to {high} {what} against the control, at every look."
    return f"{head} is not yet shown to stay within +{bound}."


def _money(experiment: Experiment, analysis: Analysis, traffic: Traffic) -> str:
    """What the most promising variant would save, and what it risks."""
    found = [c for c in analysis.contrasts if c.metric == "cost" and c.relative is not None]
    primary = {c.variant.position: c for c in analysis.contrasts if c.metric == experiment.design.primary}
    if any(result.n_unpriced for result in analysis.results):
        return "What a variant saves is unknown: some calls have no price."
    if not found:
        return ""
    best = min(found, key=lambda c: c.difference.estimate)
    assert best.relative is not None  # noqa: S101 - chosen so
    share, usd = best.relative.estimate, best.difference.estimate
    if usd == 0:
        return f"{best.variant.name} costs the same."
    if not best.relative.excludes(0):
        if not best.relative.is_finite:
            return ""
        span = " to ".join(f"{100 * value:+.0f}".replace("-", "−") for value in best.relative[1:])
        return f"{best.variant.name} costs about the same a call ({span} %)."
    what = "cheaper" if usd < 0 else "dearer"
    words = f"{best.variant.name} is {100 * abs(share):.0f} % {what} a call"
    if best.smallest >= MIN_FOR_MONEY:
        low, high = sorted(abs(value) for value in best.relative[1:])
        words += f" ({100 * low:.0f} to {100 * high:.0f} %)"
    else:
        words += " so far"
    if traffic.calls:
        month = abs(usd) * traffic.calls * DAYS_A_MONTH
        words += f", {'saves' if usd < 0 else 'costs'} {amount('cost', month)}{' more' if usd > 0 else ''} a month at today's traffic"  # fmt: skip
    other = primary.get(best.variant.position)
    if usd < 0 and other is not None and other.at_most_worse < float("inf"):
        level = 100 - 100 * (1 - analysis.confidence_level) / 2
        worst = amount(other.metric, max(0.0, other.at_most_worse), is_difference=True)
        words += f", and is at most {worst} worse ({level:.4g} %)"
    return f"{words}."
