"""The verdict on an analysis, in words with reasons, and what to know before believing it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.domain.experiment import Decision, Experiment, Variant
from core.experiments.analysis import (
    METRICS,
    MIN_FOR_MONEY,
    MONEY,
    SHARES,
    Analysis,
    Contrast,
    GuardResult,
    difference_of,
)
from core.experiments.planner import progress
from core.experiments.words import Score, ScoreState, amount, effect, in_days, names, short_effect, signed
from core.formats import figures
from core.statistics.experiments import power
from core.statistics.experiments.moments import Moments
from core.statistics.experiments.sums import Look
from core.statistics.interval import Interval
from core.statistics.sequential import MIN_PER_SIDE

DAYS_A_MONTH = 30.4375
MUCH = 3.0  # standard errors between early and late
EARLY = 0.3  # share of the units that are early
_NO_DIFFERENCE = "No difference that matters"
_SAME = "The variants are the same, and the split shows no fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Arrivals a day, from the last days: units of all variants together, and calls."""

    units: float = 0.0
    calls: float = 0.0


def decide(experiment: Experiment, analysis: Analysis, traffic: Traffic = Traffic()) -> Decision:
    """A decision with its reasons; a higher rate alone never makes a winner.

    hold: The split is off, and nobody has said that this was seen.
    stop: A guardrail is broken by every variant.
    ship: The rule is met by an interval that holds at every look.
    inconclusive: Everything else.
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
        return Decision(
            action="stop", headline=f"Stop: guardrail {names(broken[0].guardrail.metric)}", reasons=reasons, money=money
        )
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
        reasons += [_not_both(analysis, c) for c in primary if c.is_told and _gain(experiment, c) > 0]
    is_whole = len(primary) == len(experiment.served) - 1
    smallest = min((c.smallest for c in primary), default=0) if is_whole else 0
    needed = MIN_FOR_MONEY if design.primary in MONEY else MIN_PER_SIDE
    if smallest < needed:
        return Decision(
            action="inconclusive",
            headline="Inconclusive: too few outcomes" if ended else "Keep running: too few outcomes",
            reasons=(
                f"The smallest variant has {smallest:,} of the {needed} units from which on anything is claimed.",
                *reasons,
                *warnings,
            ),
            money=money,
        )
    small = design.smallest_effect
    if small is not None and primary and all(abs(b) < small for c in primary for b in c.difference[1:]):
        text = amount(design.primary, small, is_difference=True)
        reasons.append(f"No difference of {text} or more is left in any interval: choose by cost.")
        return Decision(action="inconclusive", headline=_NO_DIFFERENCE, reasons=(*reasons, *warnings), money=money)
    way = progress(experiment, analysis, traffic.units)
    days = way.days if way else None
    if ended:
        headline = "Inconclusive: the data do not carry a decision"
    elif days is None:
        headline = "Keep running: the data do not carry a decision yet"
    elif days > design.max_days:
        headline = _SAME if is_same(experiment) else "Cannot be told at this traffic"
        if not is_same(experiment):
            told = f"A difference as small as this would take {_days(days)}; {design.max_days} days are planned."
            reasons.append(told)
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


def scores(experiment: Experiment, analysis: Analysis) -> list[Score]:
    """Every metric of every variant beside the control: the primary one first, then those with a guardrail."""
    design, found = experiment.design, []
    guards = {(guard.variant.position, guard.guardrail.metric): guard for guard in analysis.guards}
    for position in (variant.position for variant in experiment.served[1:]):
        guarded = [metric for metric in METRICS if (position, metric) in guards]
        for metric in dict.fromkeys((design.primary, *guarded, *design.secondary, *METRICS)):
            contrast, guard = analysis.contrast(position, metric), guards.get((position, metric))
            if contrast is None and guard is None and metric != design.primary:
                continue
            change = None if contrast is None else _change(analysis, contrast)
            state, is_larger_better = _state(experiment, contrast, guard), design.is_larger_better(metric)
            found.append(Score(position, metric, contrast, guard, change, state, is_larger_better))
    return found


def _change(analysis: Analysis, contrast: Contrast) -> Interval | None:
    if contrast.metric in SHARES:
        return contrast.difference
    if contrast.relative is not None and contrast.relative.is_finite:
        return contrast.relative
    control = analysis.control.estimates.get(contrast.metric)  # of several phases: its mean in all of them
    return contrast.difference.scaled(1 / control.estimate) if control and control.estimate > 0 else None


def _state(experiment: Experiment, contrast: Contrast | None, guard: GuardResult | None) -> ScoreState:
    if guard is not None and guard.state == "broken":
        return "broken"
    is_enough = contrast is not None and (contrast.metric not in MONEY or contrast.smallest >= MIN_FOR_MONEY)
    is_told = contrast is not None and is_enough and contrast.difference.excludes(0.0)
    if is_told and contrast is not None and _gain(experiment, contrast) > 0:
        return "better"
    design = experiment.design
    is_within = guard is not None and guard.state == "safe"
    if contrast is not None and contrast.metric == design.primary and design.rule == "not_worse_and_cheaper":
        is_within = contrast.is_claimed and contrast.at_most_worse < design.margin
    if is_within:
        return "worse_within" if is_told else "within"
    return "worse" if is_told else "undecided"


def verdict(experiment: Experiment, analysis: Analysis, decision: Decision) -> str:
    """The decision as one sentence, with the effect that it stands on."""
    if experiment.is_rollout and decision.action not in ("hold", "stop"):
        return experiment.ended or f"Rolling out: {experiment.variants[1].weight}% of the traffic"
    if len(experiment.served) < 2:
        return "Nothing is compared: the shadow's answers are seen by nobody"
    primary = [c for c in analysis.contrasts if c.metric == experiment.design.primary]
    if decision.action in ("hold", "stop") or not primary:
        return decision.headline
    if decision.action == "ship":
        shipped = next((c for c in primary if c.variant.position == decision.winner), None)
        return f"{decision.headline}: {short_effect(shipped)}" if shipped else decision.headline
    if decision.headline == _SAME:
        return decision.headline
    head = decision.headline.partition(":")[0] if decision.days_left is not None else decision.headline
    return f"{head} · {short_effect(max(primary, key=lambda c: _gain(experiment, c)))}"


def advice(experiment: Experiment, decision: Decision) -> str:
    """The next step, as one sentence."""
    if len(experiment.served) < 2:
        return "Judge the shadow's answers beside those that were served."
    if experiment.is_rollout:
        return "It goes on by itself, and back by itself where a guardrail breaks."
    if decision.action == "hold":
        return "Find what drops or doubles units before anything is decided."
    if experiment.status != "running":
        return "" if decision.action == "ship" else "Keep the control, or test again with more traffic."
    control = experiment.served[0]
    if decision.action == "stop" or decision.winner == control.position:
        return f"Keep {control.name} and end the experiment."
    if decision.action == "ship":
        return "Ship it, and end the experiment."
    if decision.headline == _NO_DIFFERENCE:
        return "Choose by cost, and end the experiment."
    if is_same(experiment):
        return "End it: the split shows no fault, and all variants are the same, so that no difference can be found."
    if decision.days_left is not None and decision.days_left > experiment.design.max_days:
        return "End it, give it more traffic, or test a larger change."
    return "Let it run. You may look at any time: the intervals hold at every look."


def is_same(experiment: Experiment) -> bool:
    """True of an A/A test, whose variants all answer alike."""
    return len({_treatment(each) for each in experiment.served}) == 1


def _treatment(variant: Variant) -> str:
    """All that answers of a variant depend on."""
    return repr(replace(variant, position=0, name="", weight=1))


def waits(experiment: Experiment, decision: Decision) -> bool:
    """True where the next step is a person's."""
    if experiment.status != "running" or experiment.is_rollout or len(experiment.served) < 2:
        return False
    is_slow = decision.days_left is not None and decision.days_left > experiment.design.max_days
    return decision.action != "inconclusive" or decision.headline == _NO_DIFFERENCE or is_slow


def time_left(experiment: Experiment, decision: Decision) -> str:
    """Stopped, Decided, or about how long it still takes."""
    if experiment.status != "running":
        return "Stopped"
    if decision.action in ("ship", "stop"):
        return "Decided"
    days = decision.days_left
    if days is None or is_same(experiment):
        return "–"
    return f"Over {experiment.design.max_days} days" if days > experiment.design.max_days else in_days(days)


def _days(days: float) -> str:
    n = max(1, round(days))
    return "about 1 day" if n == 1 else f"about {n:,} days" if n < 3650 else "more than ten years"


def _guard_words(guard: GuardResult) -> str:
    metric = guard.guardrail.metric
    bound = (
        amount(metric, guard.guardrail.margin, is_difference=True)
        if metric in SHARES
        else f"{100 * guard.guardrail.margin:g}%"
    )
    head = f"{guard.variant.name}: {names(metric)}"
    unit = 100
    if guard.state == "broken":
        low, high = (figures.signed(unit * (value + guard.guardrail.margin), ".1f") for value in guard.excess[1:])
        what = " points" if metric in SHARES else "%"
        return f"{head} is beyond its bound of +{bound}: {low} to {high}{what} against the control, at every look."
    return f"{head} is not yet shown to stay within +{bound}."


def _money(experiment: Experiment, analysis: Analysis, traffic: Traffic) -> str:
    """The savings of the most promising variant, and its risk."""
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
        span = " to ".join(figures.signed(100 * value, ".0f") for value in best.relative[1:])
        return f"{best.variant.name} costs about the same a call ({span}%)."
    what = "cheaper" if usd < 0 else "dearer"
    words = f"{best.variant.name} is {100 * abs(share):.0f}% {what} a call"
    if best.smallest >= MIN_FOR_MONEY:
        low, high = sorted(abs(value) for value in best.relative[1:])
        words += f" ({100 * low:.0f} to {100 * high:.0f}%)"
    else:
        words += " so far"
    if traffic.calls:
        month = abs(usd) * traffic.calls * DAYS_A_MONTH
        what, more = ("saves", "") if usd < 0 else ("costs", " more")
        words += f", {what} {amount('cost', month)}{more} a month at today's traffic"
    other = primary.get(best.variant.position)
    if usd < 0 and other is not None and other.at_most_worse < float("inf"):
        level = 100 - 100 * (1 - analysis.confidence_level) / 2
        worst = amount(other.metric, max(0.0, other.at_most_worse), is_difference=True)
        words += f", and is at most {worst} worse ({level:.4g}%)"
    return f"{words}."


def cautions(experiment: Experiment, analysis: Analysis, traffic: Traffic) -> list[str]:
    """Sentences, the most serious first; may be empty."""
    found = []
    design, n_exposed = experiment.design, sum(result.n_exposed for result in analysis.results)
    if analysis.is_ratio_mismatch:
        found.append("The split is not what the weights promise; the rates may be of different people.")
    if analysis.n_multiple:
        share = 100 * analysis.n_multiple / max(1, n_exposed)
        found.append(
            f"{analysis.n_multiple:,} units ({share:.1f}%) were seen in two variants; they count under the first."
        )
    if (effect := _out_of_reach(experiment, analysis, traffic)) is not None:
        assert design.smallest_effect is not None  # noqa: S101 - checked by the callee
        small = amount(design.primary, design.smallest_effect, is_difference=True)
        least = amount(design.primary, effect, is_difference=True)
        found.append(f"Low power: in {design.max_days} days at this traffic {least} can be told, not {small}.")
    if analysis.n_phases > 1:
        found.append(
            f"Rates of variants are means of {analysis.n_phases} phases, weighted by their units;"
            " differences are within phases."
        )
    if design.allocation == "thompson":
        found.append(
            "The weights follow the data: estimates of what gets little traffic stay rough."
            " Use it to earn, not to learn."
        )
    if analysis.n_late or analysis.n_orphans:
        found.append(
            f"Not counted: {analysis.n_late:,} outcomes that came late,"
            f" {analysis.n_orphans:,} that belong to nothing on record."
        )
    if any(result.n_unpriced for result in analysis.results):
        n = sum(result.n_unpriced for result in analysis.results)
        found.append(f"{n:,} calls have no price: what variants cost is only partly known.")
    return found


def novelty(experiment: Experiment, looks: Sequence[Look], position: int) -> str:
    """A sentence where the effect among the first units was another than later: novelty or drift; empty = no sign."""
    mine = [look for look in looks if look.phase == experiment.phase]
    if len(mine) < 4:
        return ""
    early = min(mine, key=lambda look: abs(look.n - EARLY * mine[-1].n))
    metric, control = experiment.design.primary, experiment.served[0].position
    parts = []
    for moments in (early.moments, _less(mine[-1].moments, early.moments)):
        parts.append(difference_of(metric, moments.get(control, Moments()), moments.get(position, Moments())))
    first, later = parts
    if first is None or later is None or not (first.is_enough and later.is_enough):
        return ""
    error = math.sqrt(first.squared_error + later.squared_error)
    if abs(first.estimate - later.estimate) <= MUCH * error:
        return ""
    name = experiment.variants[position].name
    if metric == "latency_p95":
        return f"{name}: the effect on latency changed over time; the first units are not like the later ones."
    return (
        f"{name}: {signed(metric, first.estimate)} among the first units and {signed(metric, later.estimate)} later;"
        " the effect may be one of novelty, or something else changed."
    )


def _less(whole: dict[int, Moments], part: dict[int, Moments]) -> dict[int, Moments]:
    return {at: moments.without(part.get(at, Moments())) for at, moments in whole.items()}


def _out_of_reach(experiment: Experiment, analysis: Analysis, traffic: Traffic) -> float | None:
    """The effect that can be told by the planned end, if the smallest that matters is smaller; None = all is well."""
    design = experiment.design
    rate = analysis.control.estimates.get("success")
    if design.smallest_effect is None or design.primary != "success" or rate is None or traffic.units <= 0:
        return None
    if not 0 < rate.estimate < 1:
        return None
    n = int(traffic.units * design.max_days / len(experiment.served))
    if n < 30:
        return None
    spread = power.spread_of(rate.estimate, 0.0)
    level = 1 - analysis.confidence_level
    effect = power.detectable_effect(spread, n, significance=level, tuned_for=design.tuned_for)
    return effect if effect > design.smallest_effect else None
