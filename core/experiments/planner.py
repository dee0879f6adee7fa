"""Plans of an experiment's traffic: from an effect to a sample to days and back, and where the next units go. Pure."""

from dataclasses import dataclass

from core.domain.experiment import Experiment
from core.experiments.analysis import MIN_FOR_MONEY, MONEY, Analysis, Contrast, beliefs_of
from core.statistics.experiments import power
from core.statistics.experiments.sums import Sums
from core.statistics.sequential import Difference

FLOOR = 0.10
SCALE = 1000
MIN_BATCH = 400  # units; the smallest variant must have enough to be compared
GROWTH = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The way to the size at which the primary metric's difference is told: units of both sides, and days left."""

    n: int
    needed: int
    days: float

    @property
    def share(self) -> float:
        return min(1.0, self.n / self.needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The units, per side, and the days that one effect needs; days None = the traffic is not known.

    fixed_n, fixed_days: For one look at a planned size.
    always_n, always_days: For the interval that holds at every look.
    """

    effect: float
    fixed_n: int
    always_n: int
    fixed_days: float | None
    always_days: float | None


def plan(  # noqa: PLR0913 - what a design fixes
    spread: float,
    effect: float,
    *,
    per_day: float | None = None,
    n_variants: int = 2,
    n_comparisons: int = 1,
    power_: float = 0.8,
    significance: float = 0.05,
    tuned_for: int = 1000,
) -> Plan:
    """The two designs side by side.

    Args:
        spread: The two sides' variances, summed; of proportions see `power.spread_of`.
        effect: The difference to be shown, not 0, in the metric's unit.
        per_day: Units a day over all variants, split evenly.
        n_variants, n_comparisons: Of the experiment; comparisons share the significance.

    Raises:
        ValueError: An argument is out of its range.
    """
    level = significance / max(1, n_comparisons)
    fixed = power.fixed_sample_size(spread, effect, power=power_, significance=level)
    always = power.sequential_sample_size(spread, effect, power=power_, significance=level, tuned_for=tuned_for)
    days = [n * n_variants / per_day if per_day else None for n in (fixed, always)]
    return Plan(effect=effect, fixed_n=fixed, always_n=always, fixed_days=days[0], always_days=days[1])


def progress(experiment: Experiment, analysis: Analysis, units_per_day: float) -> Progress | None:
    """The way to the difference of the primary metric, at this traffic; None = it cannot be estimated.

    For a difference as large as the one seen, or the smallest that matters if that is larger.
    """
    design = experiment.design
    found = [c for c in analysis.contrasts if c.metric == design.primary and c.difference.is_finite]
    if not found or units_per_day <= 0 or experiment.status != "running":
        return None
    shares = [v.weight / sum(w.weight for w in experiment.served) for v in experiment.served]
    best: Progress | None = None
    for contrast in found:
        goal = _goal(experiment, contrast)
        width = (contrast.difference.upper - contrast.difference.lower) / 2
        if goal == 0:
            continue
        # The interval narrows about as 1/√n; to tell the goal with 80 % power it must be that much narrower.
        n = contrast.n
        error = width / _width(n, 1 - analysis.confidence_level, design.tuned_for)
        spread = error * error * n / 2
        needed = 2 * power.sequential_sample_size(
            spread, goal, significance=1 - analysis.confidence_level, tuned_for=design.tuned_for
        )
        if design.primary in MONEY:
            needed = max(needed, 2 * MIN_FOR_MONEY)
        both = sum(sorted(shares)[:2]) if len(shares) > 2 else 1.0
        found_now = Progress(n=n, needed=needed, days=max(0.0, needed - n) / (units_per_day * both))
        best = found_now if best is None or found_now.days < best.days else best
    return best


def _goal(experiment: Experiment, contrast: Contrast) -> float:
    """The distance that the interval has to cover before it decides."""
    design, estimate = experiment.design, contrast.difference.estimate
    if design.rule == "not_worse_and_cheaper":
        gain = estimate if design.is_larger_better(contrast.metric) else -estimate
        if gain > -design.margin:
            return design.margin + gain
    return max(abs(estimate), design.smallest_effect or 0.0)


def _width(n: int, alpha: float, tuned_for: int) -> float:
    unit = Difference(0.0, 1.0, n, max(30, n // 2))
    return unit.interval(confidence_level=1 - alpha, tuned_for=tuned_for).upper


def next_weights(experiment: Experiment, sums: Sums) -> list[int] | None:
    """Thompson sampling in batches: more traffic to what looks best, with a floor for every variant.

    Each batch is a phase, and phases are compared within themselves, so that the intervals stay valid while the
    weights follow the data. Returns the weights of the next batch, in thousandths; None = it is too early for one.

    Source: Thompson (1933), Biometrika 25; the floor keeps every variant measurable.
    """
    served = experiment.served
    phases = [phase.number for phase in experiment.phases]
    now = sum(sums.of(phases[-1], v.position, "exposure").n for v in served)
    whole = sum(sums.of(number, v.position, "exposure").n for number in phases for v in served)
    if now < max(MIN_BATCH, GROWTH * whole):
        return None
    beliefs = beliefs_of(experiment, sums, phases)
    if not beliefs:
        return None
    shares = [FLOOR + (1 - len(served) * FLOOR) * belief.probability_best for belief in beliefs]
    by_position = {v.position: round(SCALE * share) for v, share in zip(served, shares, strict=True)}
    weights = [by_position.get(v.position, 0) for v in experiment.variants]
    return None if weights == [v.weight for v in experiment.variants] else weights
