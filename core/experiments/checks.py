"""Designs, variants and outcomes as they are given, checked. Pure but for the resolver handed in."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from core.domain.experiment import GUARDED, PRIMARY, UNITS, Design, Experiment, Guardrail, OutcomeInput, Target, Variant
from core.domain.generation import MAX_CACHE_S, Message, Request
from core.errors import InvalidRequest
from core.experiments.words import amount, names
from core.formats.text import folded, is_storable

MAX_VARIANTS = 10
MAX_NAME = 200
MAX_WEIGHT = 1_000_000
MAX_TEXT = 20_000


def checked_design(fields: dict[str, Any]) -> Design:
    """The design of these fields. Raises: InvalidRequest"""
    try:
        design = Design(**fields)
    except TypeError:
        raise InvalidRequest(f"A design has no field among {sorted(fields)} of that name.") from None
    secondary = tuple(dict.fromkeys(metric for metric in design.secondary if metric != design.primary))
    _check_choices(design, secondary)
    _check_numbers(design)
    guardrails = tuple(_guardrail(each) for each in design.guardrails)
    if len({each.metric for each in guardrails}) < len(guardrails):
        raise InvalidRequest("Two guardrails are on the same metric.")
    return replace(design, secondary=secondary, guardrails=guardrails)


def _check_choices(design: Design, secondary: Sequence[str]) -> None:
    if design.primary not in PRIMARY:
        raise InvalidRequest(f"primary == {design.primary!r}, must be one of {', '.join(PRIMARY)}")
    for metric in secondary:
        if metric not in (*PRIMARY, *GUARDED):
            raise InvalidRequest(f"secondary == {metric!r}, must be one of {', '.join(PRIMARY)}")
    if design.rule not in ("superior", "not_worse_and_cheaper"):
        raise InvalidRequest(f"rule == {design.rule!r}, must be superior or not_worse_and_cheaper")
    if design.rule == "not_worse_and_cheaper" and not design.margin:
        raise InvalidRequest("The rule not_worse_and_cheaper needs a margin above 0: how much worse is good enough.")
    if design.allocation not in ("fixed", "thompson"):
        raise InvalidRequest(f"allocation == {design.allocation!r}, must be fixed or thompson")
    if len(design.internal_units) > 100 or any(not p or len(p) > 200 for p in design.internal_units):
        raise InvalidRequest("internal_units must be at most 100 patterns of 1 to 200 characters.")


def _check_numbers(design: Design) -> None:
    numbers = (
        ("margin", design.margin, 0, 1e9),
        ("audience", design.audience, 1e-6, 1),
        ("tuned_for", design.tuned_for, 100, 10**7),
        ("confidence_level", design.confidence_level, 0.5, 0.999),
        ("window_days", design.window_days, 0, 365),
        ("max_days", design.max_days, 1, 3650),
        ("cache_s", 1 if design.cache_s is None else design.cache_s, 1, MAX_CACHE_S),
        ("smallest_effect", design.smallest_effect or 1.0, 1e-12, 1e9),
    )
    for name, value, low, high in numbers:
        if not (isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high):
            raise InvalidRequest(f"{name} == {value}, must be from {low:g} to {high:g}")


def _guardrail(given: Guardrail | dict[str, Any]) -> Guardrail:
    try:
        guardrail = given if isinstance(given, Guardrail) else Guardrail(**given)
    except TypeError:
        raise InvalidRequest("A guardrail has a metric and a margin.") from None
    if guardrail.metric not in GUARDED:
        raise InvalidRequest(f"A guardrail on {guardrail.metric!r}: must be one of {', '.join(GUARDED)}")
    if not (isinstance(guardrail.margin, (int, float)) and 0 < guardrail.margin <= 100):
        raise InvalidRequest(
            f"margin == {guardrail.margin}, must be above 0: a share, or points of error rate (0.01 = one)"
        )
    return guardrail


def checked_unit(unit: str) -> str:
    if unit not in UNITS:
        raise InvalidRequest(f"unit == {unit[:40]!r}, must be one of {', '.join(UNITS)}")
    return unit


def checked_variants(given: Sequence[str | Variant], resolve: Callable[[Variant], Variant]) -> tuple[Variant, ...]:
    """The variants with their positions and names, each with a model that can be asked.

    Raises:
        InvalidRequest, ModelNotFound, AuthenticationError
    """
    if not 2 <= len(given) <= MAX_VARIANTS:
        raise InvalidRequest(f"{len(given)} variants given; an experiment takes 2 to {MAX_VARIANTS}.")
    variants = tuple(_variant(each, position, resolve) for position, each in enumerate(given))
    served = [variant for variant in variants if variant.is_served]
    if len(served) < 2 and not (served and any(variant.is_shadow for variant in variants)):
        raise InvalidRequest("At least two variants need a weight above 0.")
    if any(not 0 <= variant.weight <= MAX_WEIGHT for variant in variants):
        raise InvalidRequest(f"Weights are whole numbers from 0 to {MAX_WEIGHT:,}.")
    if len({variant.name for variant in variants}) < len(variants):
        raise InvalidRequest("Two variants have the same name.")
    return variants


def _variant(given: str | Variant, position: int, resolve: Callable[[Variant], Variant]) -> Variant:
    variant = Variant(position=position, name="", model=given) if isinstance(given, str) else given
    what = variant.workflow or variant.model
    name = variant.name.strip() or f"{'ABCDEFGHIJ'[position]} · {what}"
    if not variant.model and not variant.workflow:
        raise InvalidRequest("A variant needs a model, an alias or a workflow.")
    variant = resolve(variant)
    version = variant.prompt_version.strip() or (prompt_version(variant.system) if variant.system else "")
    if variant.workflow and variant.is_shadow:
        raise InvalidRequest("A workflow cannot answer as a shadow.")
    return replace(variant, position=position, name=name, prompt_version=version)


def prompt_version(system: str) -> str:
    """A name for a system prompt that changes with its text."""
    return hashlib.sha256(system.encode()).hexdigest()[:8]


def made_up_hypothesis(variants: Sequence[Variant], design: Design) -> str:
    """For an experiment whose owner gave none: what its rule asks for, of the variants that get traffic."""
    control, *others = (variant for variant in variants if variant.is_served)
    if not others:
        shadows = " and ".join(variant.name for variant in variants if variant.is_shadow)
        return f"{shadows} would answer no worse than {control.name}; nobody sees its answers, and nothing is compared."
    who = others[0].name if len(others) == 1 else f"At least one of {', '.join(variant.name for variant in others)}"
    larger, what = design.is_larger_better(design.primary), names(design.primary)
    article = "" if what.startswith("dollars") else "a "
    if design.rule == "superior":
        claim = f"{who} has {article}{'higher' if larger else 'lower'} {what} than {control.name}"
    else:
        margin = amount(design.primary, design.margin, is_difference=True)
        worse = "lower" if larger else "higher"
        claim = f"{who} costs less a call than {control.name}, with {article}{what} less than {margin} {worse}"
    return f"{claim}{', and breaks no guardrail' if design.guardrails else ''}."


def request_to(variant: Variant, prompt: str) -> Request:
    """The request for a variant's model."""
    messages = (Message("user", prompt),)
    return Request(model=variant.model, messages=messages, system=variant.system, parameters=variant.parameters)


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


def versioned(target: Target) -> Target:
    """The target with a name for its system text, where it has none."""
    if target.prompt_version or not target.system:
        return target
    return replace(target, prompt_version=prompt_version(target.system))
