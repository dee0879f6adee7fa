"""Simulated users: a way to see the statistics move without asking a model. Pure."""

from collections.abc import Iterator

import numpy as np

from core.assignment.placement import place
from core.domain.experiment import Assignment, Experiment, OutcomeInput

RATES = (0.30, 0.38, 0.34, 0.30)
RATINGS_OF_SUCCESS, RATINGS_OF_FAILURE = (1, 2, 3, 5, 4), (4, 5, 3, 2, 1)  # weights of 1 to 5
BATCH = 50  # users between two looks

Batch = tuple[list[tuple[Assignment, int]], list[OutcomeInput]]


def played(experiment: Experiment, n_units: int, now_us: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Batches of exposures and outcomes; variants that are alike succeed alike, so that an A/A test stays one."""
    tag = f"{rng.integers(1 << 32):08x}"
    rates = {v.position: RATES[_first_alike(experiment, v.position) % len(RATES)] for v in experiment.variants}
    for start in range(0, n_units, BATCH):
        exposed, outcomes = [], []
        for number in range(start, min(start + BATCH, n_units)):
            unit_id = f"sim-{tag}-{number}"
            assignment = place(experiment, unit_id)
            exposed.append((assignment, now_us))
            success = bool(rng.random() < rates[assignment.variant.position])
            ratings = np.array(RATINGS_OF_SUCCESS if success else RATINGS_OF_FAILURE)
            rating = 1.0 + int(rng.choice(5, p=ratings / ratings.sum()))
            outcomes.append(OutcomeInput(success=success, rating=rating, unit_id=unit_id))
        yield exposed, outcomes


def _first_alike(experiment: Experiment, position: int) -> int:
    mine = experiment.variants[position]
    for other in experiment.variants[:position]:
        if (other.model, other.system, other.parameters) == (mine.model, mine.system, mine.parameters):
            return other.position
    return position
