"""Simulated users: a way to see the statistics move without asking a model."""

import random
import secrets
from collections.abc import Iterator

from core.assignment.placement import place
from core.domain.experiment import Assignment, Experiment, OutcomeInput

RATES = (0.30, 0.38, 0.34, 0.30)
BATCH = 50  # users between two looks

Batch = tuple[list[tuple[Assignment, int]], list[OutcomeInput]]


def played(experiment: Experiment, n_units: int, now_us: int) -> Iterator[Batch]:
    """Batches of exposures and outcomes; variants that are alike succeed alike, so that an A/A test stays one."""
    rng, tag = random.Random(), secrets.token_hex(4)
    rates = {v.position: RATES[_first_alike(experiment, v.position) % len(RATES)] for v in experiment.variants}
    for start in range(0, n_units, BATCH):
        exposed, outcomes = [], []
        for number in range(start, min(start + BATCH, n_units)):
            unit_id = f"sim-{tag}-{number}"
            assignment = place(experiment, unit_id)
            exposed.append((assignment, now_us))
            success = rng.random() < rates[assignment.variant.position]
            rating = float(rng.choices(range(1, 6), (1, 2, 3, 5, 4) if success else (4, 5, 3, 2, 1))[0])
            outcomes.append(OutcomeInput(success=success, rating=rating, unit_id=unit_id))
        yield exposed, outcomes


def _first_alike(experiment: Experiment, position: int) -> int:
    mine = experiment.variants[position]
    for other in experiment.variants[:position]:
        if (other.model, other.system, other.parameters) == (mine.model, mine.system, mine.parameters):
            return other.position
    return position
