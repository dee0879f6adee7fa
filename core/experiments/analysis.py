"""From sums per variant to estimates with intervals. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.experiment import CallSums, Experiment, OutcomeSums, Variant
from core.statistics.interval import Interval
from core.statistics.proportions import wilson_interval
from core.statistics.sample_ratio import is_mismatch
from core.statistics.sequential import mean_difference, proportion_difference


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """One variant's numbers. success_rate: share with Wilson's 95 % interval (for one look); None without outcomes."""

    variant: Variant
    outcomes: OutcomeSums
    calls: CallSums
    success_rate: Interval | None
    rating_mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A variant against the control: differences whose intervals hold at every look; infinite until 30 a side.

    success: in shares; rating: in points; None = no data.
    """

    variant: Variant
    success: Interval | None
    rating: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """confidence_level: of each contrast, after correction for the number of contrasts."""

    results: tuple[VariantResult, ...]
    contrasts: tuple[Contrast, ...]
    confidence_level: float
    is_ratio_mismatch: bool

    @property
    def n_outcomes(self) -> int:
        return sum(result.outcomes.n_outcomes for result in self.results)


def analyse(
    experiment: Experiment,
    outcomes: Sequence[OutcomeSums],
    calls: Sequence[CallSums],
    *,
    confidence_level: float = 0.95,
) -> Analysis:
    """Everything a page or an answer says about an experiment, from its sums.

    The control is the first variant with a weight; variants without one get no traffic and are not compared.
    Several variants against one control share the error by Bonferroni's correction.
    """
    by_outcome = {sums.position: sums for sums in outcomes}
    by_calls = {sums.position: sums for sums in calls}
    results = tuple(
        _result(
            v,
            by_outcome.get(v.position, OutcomeSums(position=v.position)),
            by_calls.get(v.position, CallSums(position=v.position)),
        )
        for v in experiment.variants
    )
    weighted = [r for r in results if r.variant.weight > 0]
    control, treatments = weighted[0], weighted[1:]
    corrected = 1 - (1 - confidence_level) / len(treatments)
    return Analysis(
        results=results,
        contrasts=tuple(_contrast(control, treatment, corrected) for treatment in treatments),
        confidence_level=corrected,
        is_ratio_mismatch=is_mismatch([r.outcomes.n_exposed for r in weighted], [r.variant.weight for r in weighted]),
    )


def _result(variant: Variant, outcomes: OutcomeSums, calls: CallSums) -> VariantResult:
    n = outcomes.n_outcomes
    return VariantResult(
        variant=variant,
        outcomes=outcomes,
        calls=calls,
        success_rate=wilson_interval(outcomes.n_successes, n) if n else None,
        rating_mean=outcomes.rating_mean if outcomes.n_ratings else None,
    )


def _contrast(control: VariantResult, treatment: VariantResult, confidence_level: float) -> Contrast:
    a, b = control.outcomes, treatment.outcomes
    success = rating = None
    if a.n_outcomes and b.n_outcomes:
        pairs = (a.n_successes, a.n_outcomes), (b.n_successes, b.n_outcomes)
        success = proportion_difference(*pairs, confidence_level=confidence_level)
    if min(a.n_ratings, b.n_ratings) >= 2:
        rating = mean_difference(_sample(a), _sample(b), confidence_level=confidence_level)
    return Contrast(variant=treatment.variant, success=success, rating=rating)


def _sample(sums: OutcomeSums) -> tuple[int, float, float]:
    return sums.n_ratings, sums.rating_mean, max(0.0, sums.rating_m2) / (sums.n_ratings - 1)


def required_for(difference: float, baseline: float) -> int:
    """About how many outcomes a side an always-valid interval needs to tell `difference` apart (80 % of the time).

    The fixed-horizon size times 1.75, a measured rule of thumb for this interval.
    """
    z = 1.959964 + 0.841621
    other = min(max(baseline + difference, 1e-6), 1 - 1e-6)
    spread = baseline * (1 - baseline) + other * (1 - other)
    return math.ceil(1.75 * z * z * spread / (difference * difference))
