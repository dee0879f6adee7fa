"""What a reader of an experiment should know before believing it. Pure."""

import math
from collections.abc import Sequence

from core.domain.experiment import Experiment
from core.experiments.analysis import Analysis, difference_of
from core.experiments.decision import Traffic
from core.experiments.words import amount, signed
from core.statistics import power
from core.statistics.moments import Moments
from core.statistics.sums import Look

MUCH = 3.0  # standard errors between early and late
EARLY = 0.3  # share of the units that are early


def cautions(experiment: Experiment, analysis: Analysis, traffic: Traffic) -> list[str]:
    """Sentences, the most serious first; may be empty."""
    found = []
    design, n_exposed = experiment.design, sum(result.n_exposed for result in analysis.results)
    if analysis.is_ratio_mismatch:
        found.append("The split is not what the weights promise; the rates may be of different people.")
    if analysis.n_multiple:
        share = 100 * analysis.n_multiple / max(1, n_exposed)
        found.append(
            f"{analysis.n_multiple:,} units ({share:.1f} %) were seen in two variants; they count under the first."
        )
    if (effect := _out_of_reach(experiment, analysis, traffic)) is not None:
        assert design.smallest_effect is not None  # noqa: S101 - checked by the callee
        small = amount(design.primary, design.smallest_effect, is_difference=True)
        least = amount(design.primary, effect, is_difference=True)
        found.append(f"Low power: in {design.max_days} days at this traffic {least} can be told, not {small}.")
    if analysis.n_phases > 1:
        found.append(
            f"Rates of variants are means of {analysis.n_phases} phases, weighted by their units; differences are within phases."
        )
    if design.allocation == "thompson":
        found.append(
            "The weights follow the data: estimates of what gets little traffic stay rough. Use it to earn, not to learn."
        )
    if analysis.n_late or analysis.n_orphans:
        found.append(
            f"Not counted: {analysis.n_late:,} outcomes that came late, {analysis.n_orphans:,} that belong to nothing on record."
        )
    if any(result.n_unpriced for result in analysis.results):
        n = sum(result.n_unpriced for result in analysis.results)
        found.append(f"{n:,} calls have no price: what variants cost is only partly known.")
    return found  # fmt: skip


def novelty(experiment: Experiment, looks: Sequence[Look], position: int) -> str:
    """Whether the effect was another one among the first units than later: novelty, learning or drift; empty = no sign."""
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
