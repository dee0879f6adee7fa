"""Workflows as YAML and back, lossless; what is wrong with one, in words; its picture as Mermaid."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import yaml

from core.domain.generation import Parameters
from core.domain.workflow import Condition, Step, Workflow
from core.errors import InvalidRequest
from core.workflows.template import TemplateError, references

MAX_STEPS = 50
_NAME = re.compile(r"[A-Za-z_][\w-]{0,59}")
_STEP_KEYS = frozenset("name prompt model system parameters check attempts on_failure fallback_model when".split())
_PARAMETERS = frozenset(Parameters.__slots__)


class Problem(NamedTuple):
    """What is wrong, and in which step ('' = the workflow itself)."""

    step: str
    message: str

    def __str__(self) -> str:
        return f"{self.step}: {self.message}" if self.step else self.message


def from_yaml(text: str) -> Workflow:
    """Read a workflow.

    Raises:
        InvalidRequest: It is not YAML, or not a workflow.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidRequest(f"This is not YAML: {str(error)[:300]}") from None
    except RecursionError:
        raise InvalidRequest("This YAML is nested too deeply.") from None
    return from_dict(value)


def from_dict(value: Any) -> Workflow:
    if not isinstance(value, dict):
        raise InvalidRequest("A workflow is a mapping with `name` and `steps`.")
    _known_keys(value, {"name", "description", "inputs", "steps"}, "the workflow")
    steps = value.get("steps")
    if not isinstance(steps, list) or not steps:
        raise InvalidRequest("A workflow needs a list of `steps`.")
    inputs = value.get("inputs") or {}
    if not isinstance(inputs, dict):
        raise InvalidRequest("`inputs` is a mapping from name to default value.")
    return Workflow(
        name=_text(value, "name", "the workflow"),
        description=str(value.get("description") or ""),
        inputs={str(name): "" if default is None else str(default) for name, default in inputs.items()},
        steps=tuple(_step(step, position) for position, step in enumerate(steps, 1)),
    )


def _step(value: Any, position: int) -> Step:
    if not isinstance(value, dict):
        raise InvalidRequest(f"Step {position} is not a mapping with `name` and `prompt`.")
    where = f"step {value.get('name') or position}"
    _known_keys(value, _STEP_KEYS, where)
    return Step(
        name=_text(value, "name", where),
        prompt=_text(value, "prompt", where),
        model=_optional(value, "model"),
        system=_optional(value, "system"),
        parameters=_parameters(value.get("parameters") or {}, where),
        check=_one_of(value, "check", ("none", "not_empty", "json"), where),
        attempts=_count(value.get("attempts", 1), where),
        on_failure=_one_of(value, "on_failure", ("stop", "skip", "fallback"), where),
        fallback_model=_optional(value, "fallback_model"),
        when=_condition(value.get("when"), where),
    )


def _parameters(value: Any, where: str) -> Parameters:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where}: `parameters` is a mapping.")
    _known_keys(value, _PARAMETERS, f"{where}, parameters")
    parameters = Parameters(**value)
    if problem := parameters.problem():
        raise InvalidRequest(f"{where}: {problem}")
    return parameters


def _condition(value: Any, where: str) -> Condition | None:
    if value is None:
        return None
    negate = isinstance(value, dict) and "not_contains" in value
    key = "not_contains" if negate else "contains"
    if not isinstance(value, dict) or set(value) != {"step", key}:
        raise InvalidRequest(f"{where}: `when` takes `step` and one of `contains`, `not_contains`.")
    return Condition(step=str(value["step"]), contains=str(value[key]), negate=negate)


def _known_keys(value: Mapping[str, Any], known: Collection[str], where: str) -> None:
    if unknown := sorted(str(key) for key in value if key not in known):
        raise InvalidRequest(f"{where}: {', '.join(unknown)} is not known here; {', '.join(sorted(known))} are.")


def _text(value: Mapping[str, Any], key: str, where: str) -> str:
    text = value.get(key)
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest(f"{where}: `{key}` is missing or empty.")
    return text


def _optional(value: Mapping[str, Any], key: str) -> str | None:
    text = value.get(key)
    return str(text) if text not in (None, "") else None


def _one_of(value: Mapping[str, Any], key: str, choices: tuple[str, ...], where: str) -> Any:
    choice = value.get(key, choices[0])
    if choice not in choices:
        raise InvalidRequest(f"{where}: {key} == {choice!r}, must be one of {', '.join(choices)}")
    return choice


def _count(value: Any, where: str) -> int:
    if not isinstance(value, int) or not 1 <= value <= 10:
        raise InvalidRequest(f"{where}: attempts == {value!r}, must be a whole number from 1 to 10")
    return value


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
    value: dict[str, Any] = {"name": step.name}
    optional = {"model": step.model, "system": step.system}
    value |= {key: text for key, text in optional.items() if text}
    value["prompt"] = step.prompt
    if parameters := step.parameters.as_dict():
        value["parameters"] = parameters
    if step.check != "none":
        value["check"] = step.check
    if step.attempts != 1:
        value["attempts"] = step.attempts
    if step.on_failure != "stop":
        value["on_failure"] = step.on_failure
    if step.fallback_model:
        value["fallback_model"] = step.fallback_model
    if step.when:
        key = "not_contains" if step.when.negate else "contains"
        value["when"] = {"step": step.when.step, key: step.when.contains}
    return value


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as a person would write them."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def to_yaml(workflow: Workflow) -> str:
    return yaml.dump(to_dict(workflow), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


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
        yield Problem("", f"the name {workflow.name[:60]!r} must be letters, digits, _ or -, and begin with a letter")
    if len(workflow.steps) > MAX_STEPS:
        yield Problem("", f"{len(workflow.steps)} steps are more than {MAX_STEPS}")
    for name in workflow.inputs:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            yield Problem("", f"the input name {name!r} must be letters, digits or _")
    seen: set[str] = set()
    for step in workflow.steps:
        if not _NAME.fullmatch(step.name):
            yield Problem(step.name[:60], "a step's name must be letters, digits, _ or -, and begin with a letter")
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
    if step.when and step.when.step not in names:
        yield f"`when` names the step {step.when.step!r}, which is not there"
    if step.on_failure == "fallback" and not step.fallback_model:
        yield "on_failure is fallback, so fallback_model must name a model"


def to_mermaid(workflow: Workflow) -> str:
    """The picture: input, steps, what flows where; dotted where a condition decides."""
    ids = {step.name: f"s{number}" for number, step in enumerate(workflow.steps)}
    lines = ["flowchart LR", '    input(["input"])']
    used: set[str] = set()
    for step in workflow.steps:
        label = _label(step.name) + (f"<br/><small>{_label(step.model)}</small>" if step.model else "")
        lines.append(f'    {ids[step.name]}["{label}"]')
        lines += list(_edges(step, ids))
        used |= dependencies(step)
    lines.append('    output(["output"])')
    lines += [f"    {ids[step.name]} --> output" for step in workflow.steps if step.name not in used]
    return "\n".join(lines)


def _edges(step: Step, ids: Mapping[str, str]) -> Iterable[str]:
    me = ids[step.name]
    before = dependencies(step)
    try:
        uses_input = bool(references(step.prompt)[0])
    except TemplateError:
        uses_input = False
    if uses_input or not before:
        yield f"    input --> {me}"
    for name in sorted(before):
        if name not in ids:
            continue
        if step.when and step.when.step == name:
            word = "not " if step.when.negate else ""
            yield f'    {ids[name]} -. "{word}{_label(step.when.contains)}" .-> {me}'
        else:
            yield f"    {ids[name]} --> {me}"


def _label(text: str) -> str:
    return re.sub(r'["<>\[\]{}|#;`]', " ", text)[:40]
