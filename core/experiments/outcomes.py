"""An outcome as it is given, checked against its experiment. Pure."""

from dataclasses import replace

from core.domain.experiment import Experiment, OutcomeInput, Variant
from core.errors import InvalidRequest
from core.formats.text import folded, is_storable

MAX_TEXT = 20_000


def checked_outcome(experiment: Experiment, result: OutcomeInput) -> OutcomeInput:
    """The outcome with its variant's position. Raises: InvalidRequest"""
    if result.rating is not None and not 1 <= result.rating <= 5:
        raise InvalidRequest(f"rating == {result.rating}, must be from 1 to 5")
    if result.number is not None and not abs(result.number) <= 1e15:  # neither NaN nor too large for a float
        raise InvalidRequest(f"number == {result.number}, must be finite and at most 1e15")
    if len(result.text) > MAX_TEXT:
        raise InvalidRequest(f"text has {len(result.text):,} characters; at most {MAX_TEXT:,} are taken.")
    if result.success is None and result.rating is None and result.number is None and not result.text.strip():
        raise InvalidRequest("An outcome needs success, a rating, a number or a text.")
    if result.variant is None and not (result.unit_id or result.generation_id or result.assignment_id):
        raise InvalidRequest("An outcome belongs to a generation, an assignment, a unit or a variant: name one.")
    if result.success is not None and not isinstance(result.success, bool):
        raise InvalidRequest(f"success == {result.success!r}, must be true or false")
    _check_texts(result)
    position = None if result.variant is None else find_variant(experiment, result.variant).position
    return replace(result, variant=position)


def _check_texts(result: OutcomeInput) -> None:
    if result.unit_id is not None and not result.unit_id.strip():
        raise InvalidRequest("The unit (user_id) must have 1 to 500 characters.")
    if not all(
        is_storable(text or "") for text in (result.text, result.unit_id, result.generation_id, result.assignment_id)
    ):
        raise InvalidRequest("A text holds a NUL or half of a surrogate pair.")
    for name in ("unit_id", "generation_id", "assignment_id"):
        if len(getattr(result, name) or "") > 500:
            raise InvalidRequest(f"{name} must have at most 500 characters")


def find_variant(experiment: Experiment, wanted: str | int) -> Variant:
    """A variant by position, key (variant_a), letter, name, or model where only one has it."""
    if isinstance(wanted, int):
        found = [variant for variant in experiment.variants if variant.position == wanted]
    else:
        text = folded(wanted.strip())
        found = [v for v in experiment.variants if text in (v.key, v.key.removeprefix("variant_"), folded(v.name))]
        found = found or [v for v in experiment.variants if v.model == wanted]
    if len(found) != 1:
        names = ", ".join(variant.key for variant in experiment.variants)
        raise InvalidRequest(f"variant == {wanted!r} is not one of {names} (or their names).")
    return found[0]
