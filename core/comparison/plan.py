"""A comparison as the plan of a run with one item. Pure."""

from dataclasses import astuple, replace

from core.domain.comparison import Candidate, Comparison
from core.domain.evaluation.prompt import PromptContent, PromptMessage
from core.domain.evaluation.run import Contestant, Plan, Quick
from core.domain.generation import Message, Request
from core.prompts.template import literal


def plan_of(comparison: Comparison, *, keeps_text: bool = True) -> Plan:
    """Its candidates as contestants, and its prompt as the item. keeps_text: Whether texts are kept."""
    kept = comparison if keeps_text else _without_texts(comparison)
    quick = Quick(
        prompt=kept.prompt,
        system=kept.system,
        systems=tuple(each.system for each in kept.candidates),
        digests=tuple(each.prompt for each in kept.candidates),
        rule=tuple(map(astuple, kept.rule)),
        winner=kept.winner,
    )
    contestants = tuple(_contestant(kept, each) for each in kept.candidates)
    return Plan(name="", dataset="", contestants=contestants, limit_usd=kept.cap_usd, quick=quick)


def request_of(comparison: Comparison, candidate: Candidate) -> Request:
    """The call that gives a candidate's answer."""
    return Request(
        model=candidate.model,
        messages=(Message("user", comparison.prompt),),
        system=candidate.system or comparison.system,
        parameters=candidate.parameters,
    )


def _contestant(comparison: Comparison, candidate: Candidate) -> Contestant:
    system = candidate.system or comparison.system
    content = PromptContent(messages=(PromptMessage("system", literal(system)),)) if system else None
    return Contestant(
        position=candidate.position,
        model=candidate.name,
        asked=candidate.model,
        parameters=candidate.parameters,
        content=content,
        name=candidate.contestant.label,
    )


def _without_texts(comparison: Comparison) -> Comparison:
    bare = tuple(replace(candidate, system=None) for candidate in comparison.candidates)
    return replace(comparison, prompt="", system=None, candidates=bare)
