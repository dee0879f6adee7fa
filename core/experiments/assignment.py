"""Which variant a unit gets. Pure, and the same on every machine and in every language; docs/experiments.md has vectors."""

from core.domain.experiment import Assignment, Experiment, Variant, assignment_id, excluded_because, pick


def assign(experiment: Experiment, unit_id: str) -> Variant:
    """The same unit always gets the same variant; other experiments are independent.

    SHA-256 of `salt:unit_id`, its first 8 bytes as a whole number scaled to the sum of weights. The salt makes
    experiments independent: without it, everyone in variant A of one test is in A of all.

    Raises:
        ValueError: The weights do not sum to a positive number.
    """
    served = [variant for variant in experiment.variants if not variant.is_shadow]
    return served[pick([variant.weight for variant in served], f"{experiment.salt}:{unit_id}", experiment.id)]


def place(experiment: Experiment, unit_id: str, forced: Variant | None = None) -> Assignment:
    """The variant that serves a unit, and whether it is counted."""
    reason = "forced" if forced is not None else excluded_because(experiment, unit_id)
    variant = forced or (experiment.served[0] if reason == "outside" else assign(experiment, unit_id))
    return Assignment(
        id=assignment_id(experiment.id, experiment.phase, unit_id, is_counted=not reason),
        experiment_id=experiment.id,
        phase=experiment.phase,
        unit_id=unit_id,
        variant=variant,
        reason=reason,
    )
