"""Draws that are the same on every machine and in every language: SHA-256 of a text, scaled to whole numbers. Pure."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate


def point(key: str) -> int:
    """A key's place in [0, 2**64)."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])


def pick(weights: Sequence[int], key: str, name: str = "") -> int:
    """The position that a key falls on, by weight. name: of the experiment, for the error.

    Raises:
        ValueError: The weights do not sum to a positive number.
    """
    total = sum(weights)
    if total <= 0:
        raise ValueError(f"experiment {name!r}: weights sum to {total}, must be > 0")
    drawn = point(key) * total >> 64  # whole numbers: a float could round up to `total`
    return next(at for at, bound in enumerate(accumulate(weights)) if drawn < bound)


def assignment_id(experiment_id: str, phase: int, unit_id: str, *, is_counted: bool = True) -> str:
    """One id a unit and phase, found without asking the database; excluded units have another than counted ones."""
    kind = "c" if is_counted else "x"
    digest = hashlib.sha256(f"{experiment_id}:{phase}:{kind}:{unit_id}".encode()).hexdigest()
    return f"a_{digest[:28]}"


@lru_cache(maxsize=20_000)
def assignment_ids(experiment_id: str, n_phases: int, unit_id: str) -> list[str]:
    """Every assignment that a unit may have: the counted ones first, of the latest phase first."""
    return [
        assignment_id(experiment_id, phase, unit_id, is_counted=counted)
        for counted in (True, False)
        for phase in range(n_phases, 0, -1)
    ]
