"""Which variant a unit gets. Pure, and the same on every machine."""

import hashlib
from itertools import accumulate

from core.domain.experiment import Experiment, Variant


def assign(experiment: Experiment, unit_id: str) -> Variant:
    """The same unit always gets the same variant; other experiments are independent.

    SHA-256 of `salt:unit_id`, its first 8 bytes as a whole number scaled to the sum of weights. The salt makes
    experiments independent: without it, everyone in variant A of one test is in A of all.

    Raises:
        ValueError: The weights do not sum to a positive number.
    """
    total = sum(variant.weight for variant in experiment.variants)
    if total <= 0:
        raise ValueError(f"experiment {experiment.id!r}: weights sum to {total}, must be > 0")
    digest = hashlib.sha256(f"{experiment.salt}:{unit_id}".encode()).digest()
    point = int.from_bytes(digest[:8]) * total >> 64  # whole numbers: a float could round up to `total`
    upper_bounds = accumulate(variant.weight for variant in experiment.variants)
    return next(variant for variant, bound in zip(experiment.variants, upper_bounds, strict=True) if point < bound)
