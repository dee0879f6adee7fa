"""Thompson sampling in batches: more traffic to what looks best, with a floor for every variant. Pure.

Each batch is a phase, and phases are compared within themselves, so that the intervals stay valid while the weights
follow the data. Source: Thompson (1933), Biometrika 25; the floor keeps every variant measurable.
"""

from core.domain.experiment import Experiment
from core.experiments.analysis import SHARES
from core.statistics import bayes
from core.statistics.moments import Moments
from core.storage.experiments import Sums

FLOOR = 0.10
SCALE = 1000
MIN_BATCH = 400  # units; the smallest arm must have enough to be compared
GROWTH = 0.25


def next_weights(experiment: Experiment, sums: Sums) -> list[int] | None:
    """The weights of the next batch, in thousandths; None = it is too early for one."""
    served, design = experiment.served, experiment.design
    phases = [phase.number for phase in experiment.phases]
    now = sum(sums.of(phases[-1], v.position, "exposure").n for v in served)
    whole = sum(sums.of(number, v.position, "exposure").n for number in phases for v in served)
    if now < max(MIN_BATCH, GROWTH * whole):
        return None
    metric = "log_latency" if design.primary == "latency_p95" else design.primary
    together = []
    for variant in served:
        total = Moments()
        for number in phases:
            total = total.merged(sums.of(number, variant.position, metric))
        together.append(total)
    samples = [total.ratio() for total in together]
    if any(sample is None or sample.n < 2 for sample in samples):
        return None
    if design.primary in SHARES:
        counts = [(round(total.sum_y), round(total.sum_x)) for total in together]
        beliefs = bayes.of_proportions(counts)
    else:
        kept = [sample for sample in samples if sample is not None]
        beliefs = bayes.of_means(kept, larger_is_better=design.is_larger_better(design.primary))
    shares = [FLOOR + (1 - len(served) * FLOOR) * belief.probability_best for belief in beliefs]
    by_position = {v.position: round(SCALE * share) for v, share in zip(served, shares, strict=True)}
    weights = [by_position.get(v.position, 0) for v in experiment.variants]
    return None if weights == [v.weight for v in experiment.variants] else weights
