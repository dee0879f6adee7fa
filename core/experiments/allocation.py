"""Thompson sampling in batches: more traffic to what looks best, with a floor for every variant. Pure.

Each batch is a phase, and phases are compared within themselves, so that the intervals stay valid while the weights
follow the data. Source: Thompson (1933), Biometrika 25; the floor keeps every variant measurable.
"""

from core.domain.experiment import Experiment
from core.experiments.analysis import beliefs_of
from core.statistics.sums import Sums

FLOOR = 0.10
SCALE = 1000
MIN_BATCH = 400  # units; the smallest arm must have enough to be compared
GROWTH = 0.25


def next_weights(experiment: Experiment, sums: Sums) -> list[int] | None:
    """The weights of the next batch, in thousandths; None = it is too early for one."""
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
