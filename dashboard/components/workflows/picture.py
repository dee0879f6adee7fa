"""The picture of a workflow: its steps from left to right, what flows where, and where each stands.

It is HTML: as wide as the page, its texts break and are read aloud, and nothing is fetched for it. Where its columns
would be too narrow, as on a phone, the steps stand one after the other, and each says what it comes after.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from itertools import pairwise
from typing import NamedTuple

import streamlit as st

from core import InvalidRequest
from core.domain.workflow import Step, StepRun, Workflow, WorkflowRun
from core.workflows import spec
from dashboard import formatting, theme
from dashboard.charts.colours import Ink
from dashboard.frames import models

COLUMN_PX, ROW_PX = 150, 96
GAP = 10  # of the 100 units of a column, behind its step, for the lines
_WIDE = """<style>@container (min-width: %dpx) {
.aimm-graph {display: block; height: var(--height); background: var(--lines) 0 0 / 100%% 100%% no-repeat;}
.aimm-graph .aimm-step {position: absolute; left: var(--left); top: var(--top); width: var(--width);
  transform: translateY(-50%%);}
.aimm-graph .aimm-after {display: none;}
.aimm-graph .aimm-in::before {content: "▸"; position: absolute; left: -15px; top: 50%%;
  transform: translateY(-54%%); opacity: .7;}
}</style>"""


class Mark(NamedTuple):
    """A remark on a step, and the colour of its edge."""

    text: str
    colour: str


class _Line(NamedTuple):
    """A line between two places; a step's place is its number, a long line's way through a column has one too."""

    start: object
    end: object
    is_dashed: bool


def of_run(run: WorkflowRun) -> None:
    """Draw the workflow of a run, with where each step stands and the model that answered."""
    ink, answered = theme.ink(), {step.step: step.model for step in run.steps}
    steps = (replace(step, model=answered.get(step.name) or step.model) for step in run.spec.steps)
    marks = {step.step: _mark(step, ink, is_awaited=step is run.awaits) for step in run.steps}
    show(replace(run.spec, steps=tuple(steps)), marks)


def _mark(step: StepRun, ink: Ink, *, is_awaited: bool) -> Mark:
    if is_awaited:
        return Mark("waits for approval", ink.warn)
    if step.status == "succeeded":
        return Mark(f"✓ {formatting.seconds(step.latency_s)} · {formatting.usd(step.cost_usd)}", ink.good)
    said = {
        "failed": Mark("✕ failed", ink.fail), "running": Mark("● running", ink.brand),
        "skipped": Mark("↷ skipped", ink.muted),
    }  # fmt: skip
    return said.get(step.status, Mark("waiting", ink.axis))


def show(workflow: Workflow, marks: Mapping[str, Mark]) -> None:
    """Draw it as wide as the page. marks: By the name of a step; none where there is nothing to say."""
    columns, lines = _layout(workflow)
    n_rows = max(map(len, columns))
    places = {
        each: (x, ROW_PX * (y + 0.5 + (n_rows - len(column)) / 2))
        for x, column in enumerate(columns)
        for y, each in enumerate(column)
    }
    ink, colours, height = theme.ink(), models.colours(theme.mode()), ROW_PX * n_rows
    drawn = b64encode(_drawn(lines, places, len(columns), height, ink).encode()).decode()
    boxes = []
    for at, _ in sorted(enumerate(workflow.steps), key=lambda numbered: places[numbered[0]]):
        step, (x, y) = workflow.steps[at], places[at]
        left, width = (100 * share / (100 * len(columns) - GAP) for share in (100 * x, 100 - GAP))
        mark = marks.get(step.name, Mark("", ink.axis))
        style = f"--left:{left:.3f}%;--width:{width:.3f}%;--top:{y:.0f}px;border-left-color:{mark.colour}"
        is_after = any(line.end == at for line in lines)
        boxes.append(
            f'<div role="listitem" class="aimm-step{" aimm-in" if is_after else ""}" style="{style}">'
            f"{_inside(step, mark, colours, ink)}</div>"
        )
    style = f"--height:{height}px;--lines:url(data:image/svg+xml;base64,{drawn})"
    st.html(_WIDE % (COLUMN_PX * len(columns)))
    label = escape(f"The steps of {workflow.name}")
    st.html(
        f'<div class="aimm-flow"><div class="aimm-graph" role="list" aria-label="{label}" style="{style}">'
        f"{''.join(boxes)}</div></div>"
    )


def _inside(step: Step, mark: Mark, colours: Mapping[str, str], ink: Ink) -> str:
    model = step.model or "default model"
    dot = f'<i class="aimm-dot" style="background:{colours.get(step.model or "", ink.axis)}"></i>'
    said = [f"<b>{escape(step.name)}</b>", f"<span>{dot}{escape(model)}</span>"]
    if before := sorted(spec.dependencies(step)):
        said.append(f'<span class="aimm-after">after {escape(", ".join(before))}</span>')
    if step.when:
        word = "without" if step.when.negate else "with"
        said.append(f"<span>if {escape(step.when.step)} answers {word} “{escape(step.when.contains)[:40]}”</span>")
    if step.approval and not mark.text.startswith("waits"):
        said.append("<span>after approval</span>")
    if mark.text:
        said.append(f"<span>{escape(mark.text)}</span>")
    return "".join(said)


def _layout(workflow: Workflow) -> tuple[list[list[object]], list[_Line]]:
    """The content of each column, from top to bottom, and the lines between."""
    numbers: dict[str, int] = {}
    for at, step in enumerate(workflow.steps):
        numbers.setdefault(step.name, at)
    try:
        ordered: Sequence[Step] = spec.order(workflow)
    except InvalidRequest:  # a circle: each step after those before it in the list
        ordered = workflow.steps
    column_of: dict[int, int] = {}
    lines: list[_Line] = []
    columns: list[list[object]] = []
    for step in ordered:
        at = next(at for at, each in enumerate(workflow.steps) if each is step)
        before = [numbers[name] for name in sorted(spec.dependencies(step)) if numbers.get(name) in column_of]
        x = column_of[at] = 1 + max((column_of[each] for each in before), default=-1)
        columns += [[] for _ in range(x + 1 - len(columns))]
        columns[x].append(at)
        for each in before:
            is_dashed = step.when is not None and numbers.get(step.when.step) == each
            way: list[object] = [each, *((each, between) for between in range(column_of[each] + 1, x)), at]
            for between, passed in enumerate(way[1:-1], column_of[each] + 1):
                if passed not in columns[between]:
                    columns[between].append(passed)
            lines += [_Line(start, end, is_dashed) for start, end in pairwise(way)]
    _straighten(columns, lines)
    return columns, lines


def _straighten(columns: Sequence[list[object]], lines: Sequence[_Line]) -> None:
    """Put in each column as high what its lines come from as high."""
    for left, column in pairwise(columns):
        heights: dict[object, float] = {}
        for each in column:
            came = [left.index(line.start) - len(left) / 2 for line in lines if line.end == each and line.start in left]
            heights[each] = sum(came) / len(came) if came else 0.0
        column.sort(key=heights.__getitem__)


def _drawn(
    lines: Sequence[_Line], places: Mapping[object, tuple[int, float]], n_columns: int, height: int, ink: Ink
) -> str:
    """The lines as a picture that is stretched to the width of the steps."""
    paths = []
    for line in dict.fromkeys(lines):
        (x0, y0), (x1, y1) = places[line.start], places[line.end]
        start, end = 100 * (x0 + 1) - GAP, 100 * x1 - GAP / 2
        middle, dash = (start + end) / 2, ' stroke-dasharray="5 4"' if line.is_dashed else ""
        through = f"H{100 * (x1 + 1) - GAP if isinstance(line.end, tuple) else 100 * x1}"
        paths.append(f'<path{dash} d="M{start} {y0}C{middle} {y0} {middle} {y1} {end} {y1}{through}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {100 * n_columns - GAP} {height}"'
        f' preserveAspectRatio="none"><style>path{{vector-effect:non-scaling-stroke}}</style>'
        f'<g fill="none" stroke="{ink.muted}" stroke-width="1.4">{"".join(paths)}</g></svg>'
    )
