"""The variant of a unit, and whether the unit is counted. Pure; docs/experiments.md has vectors for other languages."""

from collections.abc import Iterable, Sequence

from core.assignment.counting import Changes, Unit
from core.assignment.hashing import assignment_id, assignment_ids, pick, point
from core.domain.experiment import Assignment, Experiment, Variant


def assign(experiment: Experiment, unit_id: str) -> Variant:
    """The same unit always gets the same variant; other experiments are independent.

    SHA-256 of `salt:unit_id`, its first 8 bytes as a whole number scaled to the sum of weights. The salt makes
    experiments independent: without it, everyone in variant A of one test is in A of all.

    Raises:
        ValueError: The weights do not sum to a positive number.
    """
    return _drawn(experiment, [v for v in experiment.variants if not v.is_shadow], f"{experiment.salt}:{unit_id}")


def redraw(experiment: Experiment, unit_id: str) -> Variant:
    """The variant of a unit that came before and whose variant is gone: drawn afresh, or all of a former half would
    fall on the same side again."""
    return _drawn(experiment, experiment.served, f"{experiment.salt}:{experiment.phase}:{unit_id}")


def _drawn(experiment: Experiment, variants: Sequence[Variant], key: str) -> Variant:
    return variants[pick([variant.weight for variant in variants], key, experiment.id)]


def is_in_audience(experiment: Experiment, unit_id: str) -> bool:
    """Tell if a unit takes part; drawn apart from its variant, so that the audience may grow without moving anyone."""
    return point(f"{experiment.salt}:audience:{unit_id}") < int(experiment.design.audience * 2**64)


def exclusion(experiment: Experiment, unit_id: str) -> str:
    """The reason why a unit is served and not counted; empty = it is counted."""
    if experiment.design.is_internal(unit_id):
        return "internal"
    return "" if is_in_audience(experiment, unit_id) else "outside"


def place(experiment: Experiment, unit_id: str, forced: Variant | None = None) -> Assignment:
    """The variant that serves a unit, and whether it is counted."""
    reason = "forced" if forced is not None else exclusion(experiment, unit_id)
    variant = forced or (experiment.served[0] if reason == "outside" else assign(experiment, unit_id))
    return as_assignment(experiment, unit_id, variant, reason)


def as_assignment(experiment: Experiment, unit_id: str, variant: Variant, reason: str) -> Assignment:
    """A unit's assignment to a variant in the current phase."""
    return Assignment(
        id=assignment_id(experiment.id, experiment.phase, unit_id, is_counted=not reason),
        experiment_id=experiment.id,
        phase=experiment.phase,
        unit_id=unit_id,
        variant=variant,
        reason=reason,
    )


def ids_of_units(experiment: Experiment, unit_ids: Iterable[str]) -> list[str]:
    """The assignments that must be read before these units are added."""
    return [one for unit_id in unit_ids for one in assignment_ids(experiment.id, experiment.phase, unit_id)]


def add_units(changes: Changes, experiment: Experiment, given: Sequence[tuple[Assignment, int]]) -> dict[str, Unit]:
    """Add the units that are not there yet; mark those that have been seen in another variant.

    A unit of an earlier phase stays there with its variant while that is served as it was: each unit is in one
    phase, so that phases are apart. Returns assignment id -> unit: one that came before is as it was.
    """
    found = {}
    for assignment, at_us in given:
        ids = assignment_ids(experiment.id, experiment.phase, assignment.unit_id)
        others = [changes.units[one] for one in ids if one != assignment.id and one in changes.units]
        counted = [unit for unit in others if not unit.reason]
        unit = changes.units.get(assignment.id)
        if unit is None and assignment.is_counted:
            unit = next((each for each in counted if _is_still_served(experiment, each)), None)
        if unit is None:
            moves = assignment.is_counted and counted
            position = redraw(experiment, assignment.unit_id).position if moves else assignment.variant.position
            unit = Unit(assignment.id, experiment.id, assignment.phase, position, assignment.reason)
            changes.add_unit(unit, assignment.unit_id, at_us)
            if any(other.position != position for other in others):
                changes.mark_multiple(unit, others)
        found[assignment.id] = unit
    return found


def _is_still_served(experiment: Experiment, unit: Unit) -> bool:
    """Tell if a unit's variant of an earlier phase still gets traffic as it was."""
    then = [v for p in experiment.phases if p.number == unit.phase for v in p.variants if v.position == unit.position]
    return any(now.is_same_as(then[0]) for now in experiment.served) if then else False
