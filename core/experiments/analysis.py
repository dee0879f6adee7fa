"""From sums per phase, variant and metric to estimates with intervals that hold at every look. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.domain.experiment import Experiment, Guardrail, Metric, Phase, Variant
from core.statistics import histogram, quantiles, sequential
from core.statistics.experiments import bayes, sample_ratio
from core.statistics.experiments.bayes import Belief
from core.statistics.experiments.moments import Moments
from core.statistics.experiments.sums import Look, Sums, metric_of_sums
from core.statistics.interval import Interval
from core.statistics.means import Sample
from core.statistics.sequential import Difference

METRICS: tuple[Metric, ...] = (
    "success", "rating", "number", "cost_per_success", "latency_p95", "error_rate", "cost",
)  # fmt: skip
SHARES: tuple[Metric, ...] = ("success", "error_rate")
MONEY: tuple[Metric, ...] = ("cost", "cost_per_success")
MIN_FOR_MONEY = 500  # units a side: single expensive calls can still move the mean before that
P95 = 0.95

GuardState = Literal["safe", "broken", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """One variant's numbers over the phases in which it was the same.

    estimates: Intervals that hold at every look; shares in [0, 1], dollars a call or a success, seconds.
    cost_usd: Of all its calls; None = some have no price.
    latency_mean_s, tokens_mean: None = no call was answered.
    """

    variant: Variant
    n_exposed: int
    n_outcomes: int
    n_successes: int
    n_ratings: int
    n_calls: int
    n_errors: int
    n_unpriced: int
    cost_usd: float | None
    latency_mean_s: float | None
    tokens_mean: float | None
    estimates: dict[Metric, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A variant against the control in one metric.

    difference: Treatment − control in the metric's unit; of latency_p95 the ratio − 1. Infinite until there is enough.
    relative: As a share of the control's mean; None where there are several phases.
    p_value: Always valid, of one comparison; multiply it by Analysis.n_comparisons as the interval is.
    is_claimed: Whether it shares the error, so that an interval without 0 is a finding.
    n: Units of both sides.
    """

    variant: Variant
    metric: Metric
    difference: Interval
    relative: Interval | None
    p_value: float
    is_claimed: bool
    n: int
    smallest: int  # units of the smaller side
    at_most_worse: float  # one-sided: how much worse the variant can be at most, in the metric's unit; may be infinite

    @property
    def is_told(self) -> bool:
        """True where the difference is told apart from 0."""
        return self.is_claimed and self.difference.excludes(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardResult:
    """A guardrail of a variant. excess: how far it is beyond its bound, in points or as a share; negative is within."""

    variant: Variant
    guardrail: Guardrail
    state: GuardState
    excess: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """An experiment's numbers over the phases that can be compared.

    beliefs: By position, of the primary metric.
    confidence_level: Of each claimed interval, after correction for n_comparisons.
    log_ratio_evidence: Log e-value against the promised split.
    """

    results: tuple[VariantResult, ...]
    contrasts: tuple[Contrast, ...]
    guards: tuple[GuardResult, ...]
    beliefs: dict[int, Belief]
    confidence_level: float
    n_comparisons: int
    n_phases: int
    is_ratio_mismatch: bool
    log_ratio_evidence: float
    n_multiple: int
    n_not_counted: int
    n_late: int
    n_orphans: int

    @property
    def n_outcomes(self) -> int:
        return sum(result.n_outcomes for result in self.results)

    @property
    def control(self) -> VariantResult:
        return next(r for r in self.results if r.variant.is_served)

    def contrast(self, position: int, metric: Metric) -> Contrast | None:
        return next((c for c in self.contrasts if (c.variant.position, c.metric) == (position, metric)), None)


def analyse(experiment: Experiment, sums: Sums) -> Analysis:
    """Everything a page or an answer says about an experiment.

    The control is the first variant with a weight; each other one is compared with it, within each phase. The claimed
    metrics (the primary one and those declared beside it) times the variants share the error by Bonferroni's
    correction, the intervals and the p-values alike.
    """
    design, phases = experiment.design, _phases(experiment)
    served = experiment.served
    control, treatments = served[0], served[1:]
    claimed = (design.primary, *design.secondary)
    n_comparisons, level = _shared(experiment)
    results = tuple(_result(experiment, sums, variant, phases) for variant in experiment.variants)
    contrasts = tuple(
        contrast
        for treatment in treatments
        for metric in METRICS
        if (contrast := _contrast(experiment, sums, (control, treatment), metric, level, metric in claimed))
    )
    ratio = [_ratio_evidence(sums, phase) for phase in phases]
    return Analysis(
        results=results,
        contrasts=contrasts,
        guards=_guards(experiment, sums, control, treatments),
        beliefs=_beliefs(experiment, sums, served, phases),
        confidence_level=level,
        n_comparisons=n_comparisons,
        n_phases=len(phases),
        is_ratio_mismatch=sum(ratio) >= math.log(sample_ratio.ALARM_E_VALUE),
        log_ratio_evidence=sum(ratio),
        n_multiple=sum(m.n for (_, _, name), m in sums.moments.items() if name == "multiple"),
        n_not_counted=sums.not_counted("exposure"),
        n_late=sums.not_counted("late"),
        n_orphans=sums.not_counted("orphan"),
    )


def history(experiment: Experiment, looks: Sequence[Look], position: int) -> list[tuple[Look, Interval]]:
    """The primary metric's difference as it stood at each look, with the interval that held then."""
    design, control = experiment.design, experiment.served[0]
    _, level = _shared(experiment)
    treatment = next(v for v in experiment.served if v.position == position)
    mine = {phase.number for phase in _phases_of(experiment, (control, treatment))}
    found, parts = [], dict[int, Difference]()
    for look in (each for each in looks if each.phase in mine):
        pair = look.moments.get(control.position, Moments()), look.moments.get(position, Moments())
        difference = difference_of(design.primary, *pair)
        if difference is None:
            continue
        parts[look.phase] = difference
        together = sequential.combined(list(parts.values()))
        if together is not None:
            interval = together.interval(confidence_level=level, tuned_for=design.tuned_for)
            found.append((look, _shown(design.primary, interval)))
    return found


def _shared(experiment: Experiment) -> tuple[int, float]:
    """The number of comparisons that share the error, and the level that is left for each."""
    design = experiment.design
    n = max(1, (len(experiment.served) - 1) * len({design.primary, *design.secondary}))
    return n, 1 - (1 - design.confidence_level) / n


def _shown(metric: Metric, interval: Interval) -> Interval:
    """A p95 is followed over time by the typical latency, whose logs were compared."""
    if metric != "latency_p95":
        return interval
    return Interval(*(math.exp(min(50.0, value)) - 1 if value > -math.inf else -1.0 for value in interval))


def _phases(experiment: Experiment) -> tuple[Phase, ...]:
    return experiment.phases or (
        Phase(number=1, started_at=experiment.created_at, ended_at=None, variants=experiment.variants),
    )


def _phases_of(experiment: Experiment, pair: tuple[Variant, Variant]) -> list[Phase]:
    """The phases in which both got traffic as they are today."""
    return [
        phase
        for phase in _phases(experiment)
        if all(any(v.is_same_as(variant) and v.is_served for v in phase.variants) for variant in pair)
    ]


def _result(experiment: Experiment, sums: Sums, variant: Variant, phases: Sequence[Phase]) -> VariantResult:
    mine = [p for p in phases if any(v.is_same_as(variant) for v in p.variants)]
    numbers = [phase.number for phase in mine]

    def total(metric: str) -> Moments:
        return sums.total(numbers, variant.position, metric)

    calls, priced, ok, success = total("error_rate"), total("cost"), total("latency"), total("success")
    n_calls = round(calls.sum_x)
    n_unpriced = max(0, n_calls - round(priced.sum_x))
    level, tuned_for = experiment.design.confidence_level, experiment.design.tuned_for
    estimates: dict[Metric, Interval] = {}
    for metric in METRICS:
        if metric == "latency_p95":
            places = ((number, variant.position) for number in numbers)
            blobs = [sums.latencies[place] for place in places if place in sums.latencies]
            if blobs:
                counts, edges = histogram.dense([_together(blobs)])
                estimates[metric] = quantiles.quantile_interval(counts[0], edges, P95, confidence_level=level)
        else:
            parts = [(sums.of(p.number, variant.position, metric), _units_in(sums, p, metric)) for p in mine]
            if interval := _estimate(metric, parts, level, tuned_for):
                estimates[metric] = interval
    if "cost" not in estimates:
        estimates.pop("cost_per_success", None)  # without a price, dollars are not 0 but unknown
    return VariantResult(
        variant=variant,
        n_exposed=total("exposure").n,
        n_outcomes=round(success.sum_x),
        n_successes=round(success.sum_y),
        n_ratings=round(total("rating").sum_x),
        n_calls=n_calls,
        n_errors=round(calls.sum_y),
        n_unpriced=n_unpriced,
        cost_usd=None if n_unpriced else round(priced.sum_y, 9),
        latency_mean_s=ok.sum_y / ok.sum_x if ok.n else None,
        tokens_mean=(tokens.sum_y / tokens.sum_x) if (tokens := total("tokens")).n else None,
        estimates=estimates,
    )


def _together(blobs: Sequence[bytes]) -> bytes:
    whole = blobs[0]
    for blob in blobs[1:]:
        whole = histogram.merge(whole, histogram.decode(blob))
    return whole


def _is_plain(moments: Moments) -> bool:
    """True where every unit has exactly one observation, so that counts are binomial."""
    return moments.m_xx < 0.5 and abs(moments.mean_x - 1) < 1e-9


def _units_in(sums: Sums, phase: Phase, metric: Metric) -> int:
    return sum(sums.of(phase.number, variant.position, metric).n for variant in phase.variants)


def _estimate(metric: Metric, parts: Sequence[tuple[Moments, int]], level: float, tuned_for: int) -> Interval | None:
    """Of one variant; over several phases the mean of their estimates, weighted by the units of all variants in each.

    Its own units as weights would be a pool of rows: variants would then differ by when they got their traffic.
    """
    used = [(moments, sample, n) for moments, n in parts if (sample := moments.ratio()) is not None]
    if not used:
        return None
    first = used[0][0]
    if len(used) == 1 and metric in SHARES and _is_plain(first):
        return sequential.proportion_interval(round(first.sum_y), first.n, confidence_level=level)
    total, n = sum(weight for _, _, weight in used), sum(sample.n for _, sample, _ in used)
    estimate = sum(w / total * s.mean for _, s, w in used)
    squared = sum((w / total) ** 2 * max(s.variance / s.n, _floor(metric, m)) for m, s, w in used)
    interval = Difference(estimate, squared, n, n).interval(confidence_level=level, tuned_for=tuned_for)
    if metric in SHARES:
        return Interval(interval.estimate, max(0.0, interval.lower), min(1.0, interval.upper))
    return interval


def _floor(metric: Metric, moments: Moments) -> float:
    """The least squared standard error of a variant whose units have not varied enough to say how much they can.

    As if two more units had come, one at each end of the scale: for shares a failure and a success, for ratings a 1 and
    a 5. Metrics without a scale have none.
    """
    sample = moments.ratio()
    if sample is None or metric not in (*SHARES, "rating"):
        return 0.0
    low, high = (1.0, 5.0) if metric == "rating" else (0.0, 1.0)
    n = sample.n + 2
    mean = (sample.n * sample.mean + low + high) / n
    squares = (sample.n - 1) * sample.variance + sample.n * (sample.mean - mean) ** 2
    squares += (low - mean) ** 2 + (high - mean) ** 2
    if metric in SHARES:
        squares = n * mean * (1 - mean)  # what a share's units vary at most
    return squares / n / sample.n


def difference_of(metric: Metric, control: Moments, treatment: Moments, factor: float = 1.0) -> Difference | None:
    """treatment − factor × control within one phase; None without data on either side."""
    a, b = control.ratio(), treatment.ratio()
    if a is None or b is None:
        return None
    if metric in SHARES and factor == 1.0 and _is_plain(control) and _is_plain(treatment):
        return sequential.of_proportions((round(control.sum_y), control.n), (round(treatment.sum_y), treatment.n))
    floor = factor * factor * _floor(metric, control) + _floor(metric, treatment)
    return sequential.of_means(a, b, factor=factor, at_least=floor)


def _contrast(
    experiment: Experiment, sums: Sums, pair: tuple[Variant, Variant], metric: Metric, level: float, is_claimed: bool
) -> Contrast | None:
    design, (_, treatment) = experiment.design, pair
    phases = _phases_of(experiment, pair)
    if metric == "latency_p95":
        return _latency_contrast(sums, phases, pair, level, is_claimed)
    parts: list[Difference] = []
    samples: list[tuple[Sample | None, Sample | None]] = []
    for phase in phases:
        a, b = (sums.of(phase.number, variant.position, metric) for variant in pair)
        if (part := difference_of(metric, a, b)) is not None:
            parts.append(part)
            samples.append((a.ratio(), b.ratio()))
    together = sequential.combined(parts)
    if together is None:
        return None
    if metric == "cost_per_success" and not all(sums.of(p.number, v.position, "cost").n for p in phases for v in pair):
        return None  # without a price, dollars are not 0 but unknown
    is_enough = metric not in MONEY or together.smallest >= MIN_FOR_MONEY
    interval = together.interval(confidence_level=level, tuned_for=design.tuned_for)
    relative = None
    first, second = samples[0]
    if len(samples) == 1 and first is not None and second is not None:
        relative = sequential.relative_difference(first, second, confidence_level=level, tuned_for=design.tuned_for)
    is_larger_better = design.is_larger_better(metric)
    one_sided = 1 - (1 - level) / 2
    if is_larger_better:
        worse = -together.lower_bound(confidence_level=one_sided, tuned_for=design.tuned_for)
    else:
        worse = together.upper_bound(confidence_level=one_sided, tuned_for=design.tuned_for)
    return Contrast(
        variant=treatment,
        metric=metric,
        difference=interval,
        relative=relative,
        p_value=together.p_value(tuned_for=design.tuned_for),
        is_claimed=is_claimed and is_enough,
        n=together.n,
        smallest=together.smallest,
        at_most_worse=worse,
    )


def _latency_contrast(
    sums: Sums, phases: Sequence[Phase], pair: tuple[Variant, Variant], level: float, is_claimed: bool
) -> Contrast | None:
    """Of the latest phase that has both: histograms of different phases are not put together."""
    for phase in reversed(phases):
        blobs = [sums.latencies.get((phase.number, variant.position)) for variant in pair]
        if blobs[0] and blobs[1]:
            (a, b), edges = histogram.dense([blobs[0], blobs[1]])
            ratio = quantiles.quantile_ratio(a, b, edges, P95, confidence_level=level)
            shifted = Interval(*(value - 1 for value in ratio))
            n = int(a.sum() + b.sum())
            return Contrast(
                variant=pair[1], metric="latency_p95", difference=shifted, relative=shifted, p_value=math.nan,
                is_claimed=is_claimed, n=n, smallest=int(min(a.sum(), b.sum())), at_most_worse=shifted.upper,
            )  # fmt: skip
    return None


def _guards(
    experiment: Experiment, sums: Sums, control: Variant, treatments: Sequence[Variant]
) -> tuple[GuardResult, ...]:
    level = 1 - (1 - experiment.design.confidence_level) / max(1, len(treatments))
    found = []
    for treatment in treatments:
        for guardrail in experiment.design.guardrails:
            excess = _excess(experiment, sums, (control, treatment), guardrail, level)
            state: GuardState = "undecided"
            if excess.is_finite or guardrail.metric == "latency_p95":
                state = "safe" if excess.upper < 0 else "broken" if excess.lower > 0 else "undecided"
            found.append(GuardResult(variant=treatment, guardrail=guardrail, state=state, excess=excess))
    return tuple(found)


def _excess(
    experiment: Experiment, sums: Sums, pair: tuple[Variant, Variant], guardrail: Guardrail, level: float
) -> Interval:
    """The distance of a variant beyond its bound; each end is a one-sided bound of its own."""
    metric, margin, tuned_for = guardrail.metric, guardrail.margin, experiment.design.tuned_for
    phases = _phases_of(experiment, pair)
    if metric == "latency_p95":
        contrast = _latency_contrast(sums, phases, pair, level, True)
        found = contrast.difference if contrast else Interval(0.0, -math.inf, math.inf)
        return Interval(*(value - margin for value in found))
    factor = 1.0 if metric == "error_rate" else 1 + margin
    parts = []
    for phase in phases:
        a, b = (sums.of(phase.number, variant.position, metric) for variant in pair)
        part = difference_of(metric, a, b, factor)
        if part is not None:
            parts.append(_at_bound(part, a, b, margin) if metric == "error_rate" else part)
    together = sequential.combined(parts)
    if together is None or (metric in MONEY and together.smallest < MIN_FOR_MONEY):
        return Interval(0.0 if together is None else together.estimate, -math.inf, math.inf)
    scale = 1.0
    if metric != "error_rate":  # as a share of the control's value
        means = [s.mean for p in phases if (s := sums.of(p.number, pair[0].position, metric).ratio())]
        scale = 1 / means[-1] if means and means[-1] > 0 else 1.0
    return Interval(
        together.estimate * scale,
        together.lower_bound(confidence_level=level, tuned_for=tuned_for) * scale,
        together.upper_bound(confidence_level=level, tuned_for=tuned_for) * scale,
    )


def _at_bound(part: Difference, control: Moments, treatment: Moments, margin: float) -> Difference:
    """The difference less its margin, with at least the error that it would have exactly at the bound.

    A variant that has seen no failure yet is not the surer for it.
    """
    a, b = control.ratio(), treatment.ratio()
    assert a is not None and b is not None  # noqa: S101 - there is a difference of them
    p = min(0.5, (a.n * a.mean + 1) / (a.n + 2) + margin)
    squared = max(part.squared_error, p * (1 - p) / b.n)
    return part._replace(estimate=part.estimate - margin, squared_error=squared)


def _ratio_evidence(sums: Sums, phase: Phase) -> float:
    served = [variant for variant in phase.variants if variant.is_served]
    counts = [sums.of(phase.number, variant.position, "exposure").n for variant in served]
    return sample_ratio.sequential_sample_ratio(counts, [variant.weight for variant in served])


def _beliefs(
    experiment: Experiment, sums: Sums, served: Sequence[Variant], phases: Sequence[Phase]
) -> dict[int, Belief]:
    """Of the latest phase, by position."""
    found = beliefs_of(experiment, sums, [phases[-1].number])
    return {variant.position: belief for variant, belief in zip(served, found, strict=True)} if found else {}


def beliefs_of(experiment: Experiment, sums: Sums, phases: Sequence[int]) -> list[Belief]:
    """The chance of each served variant to be best in the primary metric, and what choosing it gives away.

    Rows of the phases are put together; empty = some variant has fewer than two units.
    """
    metric = experiment.design.primary
    moments = [sums.total(phases, variant.position, metric_of_sums(metric)) for variant in experiment.served]
    samples = [sample for m in moments if (sample := m.ratio()) is not None and sample.n >= 2]
    if len(samples) < len(moments):
        return []
    if metric in SHARES and all(_is_plain(m) for m in moments):
        return bayes.of_proportions([(round(m.sum_y), m.n) for m in moments])
    return bayes.of_means(samples, larger_is_better=experiment.design.is_larger_better(metric))
