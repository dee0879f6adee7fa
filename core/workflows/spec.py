"""Workflows as YAML and back, lossless; and what is wrong with one, in words."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from core.checks import validate
from core.domain.generation import Parameters
from core.domain.workflow import CHECKS, FAILURE_POLICIES, Condition, Step, Workflow
from core.errors import InvalidRequest
from core.formats.text import is_storable
from core.formats.yaml_text import Scalar, dump, is_null, read, typed
from core.prompts.template import TemplateError
from core.workflows.template import references

MAX_STEPS = 50
_NAME = re.compile(r"[A-Za-z_][\w-]{0,59}")
_NAME_RULE = "at most 60 letters, digits, _ or -, and begin with a to z or _"
_STEP_KEYS = (
    "name model system prompt parameters check checks attempts on_failure fallback_model default when approval".split()
)
_PARAMETERS = frozenset(Parameters.__slots__)


class Problem(NamedTuple):
    """A mistake, and the step it is in ('' = the workflow itself)."""

    step: str
    message: str

    def __str__(self) -> str:
        return f"{self.step}: {self.message}" if self.step else self.message


@lru_cache(maxsize=200)
def from_yaml(text: str | bytes) -> Workflow:
    """Read a workflow. Texts are as they are written: `yes`, `1.10` and `12:30` too, quoted or not.

    Raises:
        InvalidRequest: It is not YAML, or not a workflow.
    """
    return from_dict(read(text))


def from_dict(value: Any) -> Workflow:
    if not isinstance(value, dict):
        raise InvalidRequest("A workflow is a mapping with `name` and `steps`.")
    _known_keys(value, {"name", "description", "inputs", "steps"}, "the workflow")
    steps = value.get("steps")
    if not isinstance(steps, list) or not steps:
        raise InvalidRequest("A workflow needs a list of `steps`.")
    inputs = value.get("inputs")
    if not is_null(inputs) and not isinstance(inputs, dict):
        raise InvalidRequest("`inputs` is a mapping from name to default value.")
    return Workflow(
        name=_text(value, "name", "the workflow"),
        description=_optional(value, "description", "the workflow") or "",
        inputs={str(name): _verbatim(inputs, name, "inputs") for name in inputs} if isinstance(inputs, dict) else {},
        steps=tuple(_step(step, position) for position, step in enumerate(steps, 1)),
    )


def _step(value: Any, position: int) -> Step:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{_at(value)}Step {position} is not a mapping with `name` and `prompt`.")
    where = f"step {str(value.get('name') or position)[:60]}"
    _known_keys(value, _STEP_KEYS, where)
    return Step(
        name=_text(value, "name", where),
        prompt=_text(value, "prompt", where),
        model=_optional(value, "model", where),
        system=_optional(value, "system", where),
        parameters=_parameters(value.get("parameters"), where),
        check=_one_of(value, "check", CHECKS, where),
        checks=_checks(value.get("checks"), where),
        attempts=_count(value.get("attempts"), where),
        on_failure=_one_of(value, "on_failure", FAILURE_POLICIES, where),
        fallback_model=_optional(value, "fallback_model", where),
        default=_verbatim(value, "default", where) if "default" in value else None,
        when=_condition(value.get("when"), where),
        approval=_flag(value.get("approval"), where),
    )


def _checks(value: Any, where: str) -> tuple[Mapping[str, Any], ...]:
    if is_null(value):
        return ()
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise InvalidRequest(
            f"{_at(value)}{where}: `checks` is a list of checks, such as {{type: contains, value: yes}}."
        )
    return tuple(typed(each) for each in value)


def _parameters(value: Any, where: str) -> Parameters:
    if is_null(value):
        return Parameters()
    if not isinstance(value, dict):
        raise InvalidRequest(f"{_at(value)}{where}: `parameters` is a mapping.")
    _known_keys(value, _PARAMETERS, f"{where}, parameters")
    parameters = Parameters(**{str(name): _parameter(name, given) for name, given in value.items()})
    if problem := parameters.problem():
        raise InvalidRequest(f"{_at(next(iter(value), None))}{where}: {problem[:300]}")
    return parameters


def _parameter(name: str, given: Any) -> Any:
    if is_null(given):
        return None
    if name == "stop":
        texts = given if isinstance(given, list | tuple) else [given]
        return tuple(str(text) if isinstance(text, str) else text for text in texts)
    return str(given) if name in ("thinking_level", "service_tier") else typed(given)


def _condition(value: Any, where: str) -> Condition | None:
    if is_null(value):
        return None
    negate = isinstance(value, dict) and "not_contains" in value
    key = "not_contains" if negate else "contains"
    if not isinstance(value, dict) or set(value) != {"step", key}:
        raise InvalidRequest(f"{_at(value)}{where}: `when` takes `step` and one of `contains`, `not_contains`.")
    return Condition(step=_text(value, "step", where), contains=_verbatim(value, key, where), negate=negate)


def _known_keys(value: Mapping[str, Any], known: Collection[str], where: str) -> None:
    if unknown := sorted((key for key in value if key not in known), key=str):
        names = ", ".join(str(key)[:60] for key in unknown)
        raise InvalidRequest(f"{_at(unknown[0])}{where}: {names} is not known here; {', '.join(sorted(known))} are.")


def _at(value: Any) -> str:
    """The line of a scalar, or of a mapping's first key, as the beginning of a sentence."""
    value = next(iter(value), None) if isinstance(value, dict) else value
    return f"line {value.line}: " if isinstance(value, Scalar) else ""


def _verbatim(value: Mapping[str, Any], key: str, where: str) -> str:
    """A text as it is written; nothing is the empty text."""
    text = value[key]
    if isinstance(text, dict | list):
        at = _at(next(known for known in value if known == key))
        raise InvalidRequest(f"{at}{where}: `{key}` is a text; put it in quotes, or begin a block with |")
    return "" if text is None else str(text)


def _text(value: Mapping[str, Any], key: str, where: str) -> str:
    text = _optional(value, key, where)
    if text is None or not text.strip():
        raise InvalidRequest(f"{_at(value)}{where}: `{key}` is missing or empty.")
    return text


def _optional(value: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if is_null(value.get(key)) else _verbatim(value, key, where) or None


def _one_of(value: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> Any:
    choice = choices[0] if is_null(value.get(key)) else value[key]
    if choice not in choices:
        shown = repr(choice)[:60]
        raise InvalidRequest(f"{_at(choice)}{where}: {key} == {shown}, must be one of {', '.join(choices)}")
    return str(choice)


def _count(value: Any, where: str) -> int:
    count = 1 if is_null(value) else typed(value)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 10:
        raise InvalidRequest(f"{_at(value)}{where}: attempts == {value!r:.60}, must be a whole number from 1 to 10")
    return count


def _flag(value: Any, where: str) -> bool:
    flag = False if is_null(value) else typed(value)
    if not isinstance(flag, bool):
        raise InvalidRequest(f"{_at(value)}{where}: approval == {value!r:.60}, must be true or false")
    return flag


def to_dict(workflow: Workflow) -> dict[str, Any]:
    """The workflow as plain values; what has its default is left out."""
    value: dict[str, Any] = {"name": workflow.name}
    if workflow.description:
        value["description"] = workflow.description
    if workflow.inputs:
        value["inputs"] = dict(workflow.inputs)
    value["steps"] = [_step_to_dict(step) for step in workflow.steps]
    return value


def _step_to_dict(step: Step) -> dict[str, Any]:
    operator = "not_contains" if step.when and step.when.negate else "contains"
    when = step.when and {"step": step.when.step, operator: step.when.contains}
    values = {key: getattr(step, key) for key in _STEP_KEYS} | {"parameters": step.parameters.as_dict(), "when": when}
    values["checks"] = [dict(each) for each in step.checks]
    unsaid = {"check": "none", "attempts": 1, "on_failure": "stop", "approval": False}
    return {
        key: value
        for key, value in values.items()
        if value not in (None, "", {}, [], unsaid.get(key))
        or key in ("name", "prompt")
        or (key == "default" and value == "")
    }


def to_yaml(workflow: Workflow) -> str:
    return dump(to_dict(workflow))


def dependencies(step: Step) -> set[str]:
    """Names of the steps that must end before this one."""
    try:
        _, steps = references(step.prompt)
        more = references(step.system)[1] if step.system else set()
    except TemplateError:
        steps, more = set(), set()
    return steps | more | ({step.when.step} if step.when else set())


def order(workflow: Workflow) -> list[Step]:
    """The steps in an order in which each comes after what it uses; as listed where that is free.

    Raises:
        InvalidRequest: They use each other in a circle.
    """
    done: set[str] = set()
    left = list(workflow.steps)
    ordered: list[Step] = []
    names = {step.name for step in workflow.steps}
    while left:
        ready = next((step for step in left if dependencies(step) & names <= done), None)
        if ready is None:
            raise InvalidRequest(f"These steps use each other in a circle: {', '.join(step.name for step in left)}.")
        left.remove(ready)
        ordered.append(ready)
        done.add(ready.name)
    return ordered


def problems(workflow: Workflow, why_not: Callable[[str], str] | None = None) -> list[Problem]:
    """Everything that would keep a workflow from running; empty = it can run.

    why_not: Says why a model cannot be asked, '' where it can; None = models are not checked.
    """
    if len(workflow.steps) > MAX_STEPS:
        return [Problem("", f"{len(workflow.steps):,} steps are more than {MAX_STEPS}")]
    found = [*_naming(workflow)]
    names = {step.name for step in workflow.steps}
    for step in workflow.steps:
        found += [Problem(step.name, text) for text in _step_problems(step, workflow, names)]
        asked = [name for name in (step.model, step.fallback_model) if name]
        if why_not is not None:
            found += [Problem(step.name, reason) for name in asked if (reason := why_not(name))]
    try:
        order(workflow)
    except InvalidRequest as error:
        found.append(Problem("", error.message))
    return found


def _naming(workflow: Workflow) -> Iterable[Problem]:
    if not _NAME.fullmatch(workflow.name):
        yield Problem("", f"the name {workflow.name[:70]!r} must be {_NAME_RULE}")
    for name in workflow.inputs:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            yield Problem("", f"the input name {name!r} must be letters, digits or _, and begin with a to z or _")
    seen: set[str] = set()
    for step in workflow.steps:
        if not _NAME.fullmatch(step.name):
            yield Problem(step.name[:60], f"a step's name must be {_NAME_RULE}")
        if step.name in seen:
            yield Problem(step.name, "there are two steps of this name")
        seen.add(step.name)


def _step_problems(step: Step, workflow: Workflow, names: set[str]) -> Iterable[str]:
    for text in filter(None, (step.prompt, step.system)):
        try:
            inputs, steps = references(text)
        except TemplateError as error:
            yield error.message
            continue
        yield from (f"there is no input {name!r}" for name in sorted(inputs - set(workflow.inputs) - {""}))
        yield from (f"there is no step {name!r}" for name in sorted(steps - names))
    if not all(is_storable(text) for text in _texts(step)):
        yield "a text holds a character that cannot be kept"
    if step.when and step.when.step not in names:
        yield f"`when` names the step {step.when.step!r}, which is not there"
    yield from validate({"assert": list(step.checks)}, has_judge=False, has_embeddings=False)
    if step.on_failure == "fallback" and not step.fallback_model:
        yield "on_failure is fallback, so fallback_model must name a model"
    if step.on_failure == "default" and step.default is None:
        yield "on_failure is default, so `default` must give the output"


def _texts(step: Step) -> Iterable[str]:
    yield from filter(None, (step.name, step.prompt, step.system, step.default, step.model, step.fallback_model))
    yield step.when.contains if step.when else ""
