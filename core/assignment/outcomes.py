"""Decides which outcomes count: not those replaced by a later one, late, of an unknown or of an excluded unit. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.assignment.counting import Changes, Unit, add_outcome
from core.assignment.hashing import assignment_ids
from core.assignment.placement import add_units, as_assignment, exclusion
from core.clock import DAY_US, to_us
from core.domain.experiment import Experiment, OutcomeInput, OutcomeState
from core.statistics.experiments.sums import nothing

Given = Sequence[tuple[str, OutcomeInput]]


class PlacedOutcome(NamedTuple):
    """An outcome with its place in the experiment.

    position: None = no variant.
    assignment_id: None = no unit on record.
    """

    id: str
    experiment_id: str
    phase: int
    position: int | None
    assignment_id: str | None
    generation_id: str | None
    success: int | None
    rating: float | None
    number: float | None
    text: str | None
    state: OutcomeState
    created_at: int

    @property
    def values(self) -> tuple[int | None, float | None, float | None]:
        return self.success, self.rating, self.number


class Records(NamedTuple):
    """The facts on record that outcomes are decided by.

    units: By assignment, those of `assignments_of`.
    assignments: Generation -> its assignment.
    earlier: Generation -> its outcome that counts so far.
    """

    units: Mapping[str, Unit]
    assignments: Mapping[str, str]
    earlier: Mapping[str, PlacedOutcome]


@dataclass(frozen=True, slots=True)
class Placements:
    """Outcomes in the order they were given, ids of earlier ones that they replace, and what units' totals become."""

    outcomes: list[PlacedOutcome]
    replaced: list[str]
    changes: Changes

    def count(self, state: OutcomeState) -> int:
        return sum(outcome.state == state for outcome in self.outcomes)


def assignments_of(experiment: Experiment, outcomes: Given, assignments: Mapping[str, str]) -> list[str]:
    """The assignments that must be read before outcomes are decided. assignments: Of their generations."""
    found: list[str] = []
    for _, outcome in outcomes:
        found += _wanted(experiment, outcome, assignments)
        if outcome.unit_id and outcome.assignment_id and not outcome.generation_id:
            found += assignment_ids(experiment.id, experiment.phase, outcome.unit_id)
    return found


def decide_outcomes(records: Records, outcomes: Given, experiment: Experiment, now_us: int) -> Placements:
    """Decide what becomes of outcomes, each with its id; `variant` is a position or None.

    Of a generation the last outcome counts. What comes after the window, belongs to nothing on record, or to a unit
    that is not counted, is kept and not counted. A variant named for a unit that was never seen makes it seen.
    """
    changes = Changes(dict(records.units))
    served = {variant.position for variant in experiment.served}
    wanted = [_wanted(experiment, outcome, records.assignments) for _, outcome in outcomes]
    _add_claimed(changes, experiment, outcomes, wanted, served, now_us)
    is_late = _is_late(experiment, now_us)
    latest, placed, replaced = dict(records.earlier), list[PlacedOutcome](), dict[str, None]()
    for (outcome_id, outcome), ids in zip(outcomes, wanted, strict=True):
        place = _place(changes, experiment, outcome, ids, served)
        state = _state(place, is_late=is_late)
        row = _placed(experiment, outcome_id, outcome, place, state, now_us)
        placed.append(row)
        if state == "counted":
            _count(changes, row, place)
            if row.generation_id:
                if (old := latest.get(row.generation_id)) is not None:
                    _take_back(changes, old, place)
                    replaced[old.id] = None
                latest[row.generation_id] = row
    mine = {row.id for row in placed} if replaced else set()
    placed = [row._replace(state="replaced") if row.id in replaced else row for row in placed]
    return Placements(placed, [one for one in replaced if one not in mine], changes)


def _is_late(experiment: Experiment, now_us: int) -> bool:
    """Past the window after the stop, in which outcomes still count."""
    if experiment.stopped_at is None:
        return False
    return now_us > to_us(experiment.stopped_at) + experiment.design.window_days * DAY_US


def _wanted(experiment: Experiment, outcome: OutcomeInput, assignments: Mapping[str, str]) -> list[str]:
    """The assignments that an outcome may belong to, the first that is on record."""
    if outcome.assignment_id:
        return [outcome.assignment_id]
    if outcome.generation_id and outcome.generation_id in assignments:
        return [assignments[outcome.generation_id] or ""]
    return assignment_ids(experiment.id, experiment.phase, outcome.unit_id) if outcome.unit_id else []


def _add_claimed(
    changes: Changes,
    experiment: Experiment,
    outcomes: Given,
    wanted: Sequence[Sequence[str]],
    served: set[int],
    now_us: int,
) -> None:
    """Add the units that nobody saw before, of which a variant is named."""
    claimed = []
    for (_, outcome), ids in zip(outcomes, wanted, strict=True):
        is_claim = outcome.unit_id and outcome.variant in served and not outcome.generation_id
        if is_claim and not any(one in changes.units for one in ids):
            unit_id = outcome.unit_id or ""
            reason = exclusion(experiment, unit_id)
            variant = experiment.variants[int(outcome.variant or 0)]
            claimed.append((as_assignment(experiment, unit_id, variant, reason), now_us))
    add_units(changes, experiment, claimed)


def _place(
    changes: Changes, experiment: Experiment, outcome: OutcomeInput, ids: Sequence[str], served: set[int]
) -> Unit | int | None:
    """The unit that an outcome belongs to, the position of its variant alone, or None: nothing on record."""
    found = [changes.units[one] for one in ids if one in changes.units]
    if found and found[0].experiment_id == experiment.id:
        if isinstance(outcome.variant, int) and outcome.variant != found[0].position:
            changes.mark_multiple(found[0], found)
        return found[0]
    if ids and ids[0].startswith("shadow:"):
        return int(ids[0].split(":")[1])  # judged later: a unit of its own, of the shadow variant
    is_of_something = outcome.assignment_id or outcome.generation_id or (outcome.unit_id and outcome.variant in served)
    return None if is_of_something or outcome.variant is None else int(outcome.variant)


def _state(place: Unit | int | None, *, is_late: bool) -> OutcomeState:
    if place is None:
        return "orphan"
    if is_late:
        return "late"
    return "excluded" if isinstance(place, Unit) and place.reason else "counted"


def _placed(
    experiment: Experiment,
    outcome_id: str,
    outcome: OutcomeInput,
    place: Unit | int | None,
    state: OutcomeState,
    now_us: int,
) -> PlacedOutcome:
    unit = place if isinstance(place, Unit) else None
    return PlacedOutcome(
        id=outcome_id,
        experiment_id=experiment.id,
        phase=unit.phase if unit else experiment.phase,
        position=unit.position if unit else place,  # type: ignore[arg-type]  # without a unit it is a position
        assignment_id=unit.id if unit else None,
        generation_id=outcome.generation_id,
        success=None if outcome.success is None else int(outcome.success),
        rating=outcome.rating,
        number=outcome.number,
        text=outcome.text or None,
        state=state,
        created_at=now_us,
    )


def _count(changes: Changes, row: PlacedOutcome, place: Unit | int | None) -> None:
    key = row.experiment_id, row.phase, row.position or 0
    if isinstance(place, Unit):
        add_outcome(changes.totals_of(place), *row.values)
    else:
        changes.alone.append((key, nothing(), add_outcome(nothing(), *row.values)))
    changes.add_to_day(key, row.created_at, 0, 1, row.success or 0)


def _take_back(changes: Changes, old: PlacedOutcome, place: Unit | int | None) -> None:
    key = old.experiment_id, old.phase, old.position or 0
    if isinstance(place, Unit) and old.assignment_id == place.id:
        add_outcome(changes.totals_of(place), *old.values, sign=-1)
    else:
        changes.alone.append((key, add_outcome(nothing(), *old.values), nothing()))
    changes.add_to_day(key, old.created_at, 0, -1, -(old.success or 0))
