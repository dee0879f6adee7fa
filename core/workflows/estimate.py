"""The likely cost of a run before it begins. Pure but for the estimate of one call handed in."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from core.domain.generation import Parameters
from core.domain.workflow import Step, Workflow
from core.pricing.estimate import Estimate, Range
from core.workflows.template import references

# (model, bytes of the prompt at low, expected and high, parameters)
EstimateCall = Callable[[str, Range, Parameters], Estimate]
BYTES_PER_TOKEN = (2, 4, 6)


def estimate_run(
    workflow: Workflow, inputs: Mapping[str, str], default_model: str, estimate_call: EstimateCall
) -> list[Estimate]:
    """One estimate a step, in order: an earlier step's answer is part of a later prompt.

    High: every attempt is needed.
    """
    lengths: dict[str, Range] = {}
    found = []
    for step in workflow.steps:
        one = estimate_call(step.model or default_model, _prompt_bytes(step, inputs, lengths), step.parameters)
        lengths[step.name] = Range(*(n * size for n, size in zip(one.output_tokens, BYTES_PER_TOKEN, strict=True)))
        found.append(_all_attempts(step, one))
    return found


def _prompt_bytes(step: Step, inputs: Mapping[str, str], lengths: Mapping[str, Range]) -> Range:
    low = expected = high = 0
    for text in (step.prompt, step.system or ""):
        names, steps = references(text)
        fixed = len(text.encode()) + sum(len(inputs.get(name, "").encode()) for name in names)
        earlier = [lengths.get(name, Range(0, 0, 0)) for name in steps]
        low += fixed + sum(each.low for each in earlier)
        expected += fixed + sum(each.expected for each in earlier)
        high += fixed + sum(each.high for each in earlier)
    return Range(low, expected, high)


def _all_attempts(step: Step, one: Estimate) -> Estimate:
    if one.high_usd is None or step.attempts <= 1:
        return one
    return replace(one, high_usd=one.high_usd * step.attempts)
