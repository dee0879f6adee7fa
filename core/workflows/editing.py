"""A workflow's steps put in another order, added, doubled, taken out, renamed. Pure."""

from dataclasses import replace

from core.domain.workflow import Step, Workflow
from core.workflows.template import with_step_renamed


def moved(workflow: Workflow, at: int, by: int) -> Workflow:
    """A step further up (-1) or down (1) in the list; at its ends it stays."""
    steps = list(workflow.steps)
    to = min(max(at + by, 0), len(steps) - 1)
    steps.insert(to, steps.pop(at))
    return replace(workflow, steps=tuple(steps))


def inserted(workflow: Workflow, at: int) -> Workflow:
    """A new step in this place, which goes on from the one before it."""
    source = f"steps.{workflow.steps[at - 1].name}.output" if at else "input"
    step = Step(
        name=_free_name(workflow, f"step_{len(workflow.steps) + 1}"), prompt=f"Go on from this:\n\n{{{{{source}}}}}"
    )
    return replace(workflow, steps=(*workflow.steps[:at], step, *workflow.steps[at:]))


def doubled(workflow: Workflow, at: int) -> Workflow:
    """A copy behind a step, under a name of its own."""
    step = workflow.steps[at]
    copy = replace(step, name=_free_name(workflow, f"{step.name[:55]}_2"))
    return replace(workflow, steps=(*workflow.steps[: at + 1], copy, *workflow.steps[at + 1 :]))


def removed(workflow: Workflow, at: int) -> Workflow:
    return replace(workflow, steps=(*workflow.steps[:at], *workflow.steps[at + 1 :]))


def with_step(workflow: Workflow, at: int, step: Step) -> Workflow:
    """Another step in this place; where its name is new, what used the old one uses the new one."""
    old = workflow.steps[at].name
    steps = [*workflow.steps[:at], step, *workflow.steps[at + 1 :]]
    names = [each.name for each in workflow.steps]
    if step.name and step.name not in names and names.count(old) == 1:
        steps = [_renamed(each, old, step.name) for each in steps]
    return replace(workflow, steps=tuple(steps))


def _renamed(step: Step, old: str, new: str) -> Step:
    when = replace(step.when, step=new) if step.when and step.when.step == old else step.when
    system = with_step_renamed(step.system, old, new) if step.system else step.system
    return replace(step, prompt=with_step_renamed(step.prompt, old, new), system=system, when=when)


def _free_name(workflow: Workflow, wish: str) -> str:
    taken = {step.name for step in workflow.steps}
    stem, _, number = wish.rpartition("_")
    return next(name for at in range(int(number), 1000) if (name := f"{stem}_{at}") not in taken)
