"""A new evaluation: dataset, prompts, models, checks; beside them its cost, and Run."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.evaluation.prompt import PromptContent
from core.domain.evaluation.run import Contestant, Gate, Plan, Requirement, placed
from core.domain.generation import Parameters
from dashboard import address, formatting, theme
from dashboard.charts.colours import of_contestant
from dashboard.components import clicks, estimates, inputs, interval
from dashboard.components.evaluation import checks
from dashboard.components.interval import Cell, Head
from dashboard.frames import models
from dashboard.frames.evaluation import choices
from dashboard.process import manager
from dashboard.visitors import allowed

KEY = "eval_form_"
_AS_THEY_STAND = "No prompt: each row is asked as it stands."
_COSTS = (Head("Contestant"), *(Head(name, is_number=True) for name in ("Low", "Expected", "High")))
_REUSE = {"never": 0, "1 day": 86_400, "7 days": 604_800}


def fill(plan: Plan) -> None:
    """Fill in the form with a plan; for a callback."""
    state = st.session_state
    inputs.forget(KEY)
    state[f"{KEY}name"], state[f"{KEY}dataset"] = plan.name, plan.dataset
    state[f"{KEY}prompts"] = list(dict.fromkeys(each.prompt for each in plan.contestants if each.prompt))
    state[f"{KEY}models"] = list(dict.fromkeys(each.model for each in plan.contestants if each.model))
    state[f"{KEY}checks_kept"] = choices.checks_table(plan.checks)
    state[f"{KEY}temperature"] = plan.contestants[0].parameters.temperature
    state[f"{KEY}max_tokens"] = plan.contestants[0].parameters.max_tokens
    state[f"{KEY}repetitions"] = plan.repetitions
    state[f"{KEY}cap"] = None if plan.limit_usd is None else float(plan.limit_usd)
    address.put("evaluation", "new")


def draw() -> None:
    left, right = st.columns([2.4, 1], gap="medium")
    refused: AimmError | None = None
    plan: Plan | None = None
    with left, st.container(border=True):
        try:
            plan, missing = _plan()
        except AimmError as error:
            refused, missing = error, []
    with right, st.container(border=True, key="side_evaluation"):
        st.markdown("**Expected cost**", help=estimates.HELP)
        if plan is not None and not missing:
            refused = _expected(plan)
        begun = st.button(
            "Run", type="primary", icon=":material/play_arrow:", key="eval_start", width="stretch",
            shortcut="Ctrl+Enter",
            **allowed.needs("editor", disabled=bool(missing) or refused is not None or plan is None),
        )  # fmt: skip
        if missing:
            st.caption(f"Missing: {', '.join(missing)}")
        if refused is not None:
            inputs.refused(st, refused)
        if plan is not None:
            _start(begun, plan)


def _start(is_clicked: bool, plan: Plan) -> None:
    try:
        started = clicks.once(is_clicked, "evaluation", plan, lambda: manager().evaluations.start(plan))
    except AimmError as error:
        inputs.refused(st, error)
        return
    if started:
        inputs.forget(KEY)
        address.put("evaluation", started)
        st.rerun()


def _plan() -> tuple[Plan, list[str]]:
    """The plan as the form says, and what it lacks. Raises: AimmError: Something in it is wrong."""
    datasets, prompts = choices.datasets(), choices.prompt_refs()
    _begin(list(datasets), list(prompts))
    row: Sequence[Any] = st.columns(2)
    dataset = inputs.choice(
        row[0], "Dataset", f"{KEY}dataset", _with(list(datasets), f"{KEY}dataset"), None,
        format_func=lambda each: datasets.get(each, each), placeholder="None yet",
    )  # fmt: skip
    row[0].page_link(
        "pages/library/datasets.py", label="Paste or upload another", icon=":material/upload_file:",
        query_params={"import": "new"},
    )  # fmt: skip
    name = inputs.text(
        row[1], "Name", f"{KEY}name", placeholder="as the dataset", max_chars=100,
        help="Runs of one name are a suite: their pass rates are drawn over time.",
    )  # fmt: skip
    refs = inputs.choices(
        st, "Prompts", f"{KEY}prompts", _with(list(prompts), f"{KEY}prompts"),
        format_func=lambda each: prompts.get(each, each), placeholder=_AS_THEY_STAND,
    )  # fmt: skip
    chosen = inputs.choices(st, "Models", f"{KEY}models", _with(models.names_to_ask(), f"{KEY}models"))
    parameters, repetitions, max_age_s = _asking()
    given = checks.edit(f"{KEY}checks")
    row = st.columns([1.2, 1.2, 1], vertical_alignment="bottom")
    with row[0]:
        estimates.cap_field(f"{KEY}cap", "this run", "It pauses before it would cost more, and can be resumed.")
    gate = _gate(row[1], row[2])
    asked: list[tuple[str, PromptContent | None]]
    asked = [(ref, manager().prompts.get(ref).content) for ref in refs] or [("", None)]
    contestants = [
        Contestant(position=0, prompt=ref, content=content, model=model, parameters=parameters)
        for ref, content in asked
        for model in chosen
    ]
    plan = Plan(
        name=name or str(dataset or "").partition("@")[0], dataset=str(dataset or ""), contestants=placed(contestants),
        checks=given, repetitions=repetitions, limit_usd=estimates.cap(f"{KEY}cap"), gate=gate,
        max_age_s=max_age_s,
    )  # fmt: skip
    return plan, [what for what, there in (("a dataset", dataset), ("a model", chosen)) if not there]


def _begin(datasets: Sequence[str], prompts: Sequence[str]) -> None:
    """First values of what is chosen; of the dataset again once there is one."""
    state, first = st.session_state, datasets[0] if datasets else None
    if not state.get(f"{KEY}dataset") and first:
        state[f"{KEY}dataset"] = first
    for name, given in (("prompts", list(prompts[:1])), ("models", [models.default()])):
        if f"{KEY}{name}" not in state:
            state[f"{KEY}{name}"] = given


def _asking() -> tuple[Parameters, int, int]:
    """The parameters, how often each item is asked, and how old an answer may be that is taken over."""
    row = st.columns(4, vertical_alignment="bottom")
    temperature = inputs.number(row[0], "Temperature", f"{KEY}temperature", (0.0, 2.0), step=0.1, placeholder="default")
    max_tokens = inputs.number(row[1], "Max output tokens", f"{KEY}max_tokens", (1, 1_000_000), placeholder="default")
    repetitions = inputs.number(
        row[2], "Repetitions", f"{KEY}repetitions", (1, 100), 1,
        help="Each item is asked so often. Its answers are averaged; the item stays the unit.",
    )  # fmt: skip
    reuse = inputs.choice(
        row[3], "Reuse answers of", f"{KEY}reuse", list(_REUSE),
        help="Identical work of another run that is no older is taken over, marked, and not paid again.",
    )  # fmt: skip
    limit = None if max_tokens is None else int(max_tokens)
    return Parameters(temperature=temperature, max_tokens=limit), int(repetitions or 1), _REUSE[reuse]


def _gate(place: Any, beside: Any) -> Gate | None:
    """The condition that the run must meet, if one is wanted."""
    against = inputs.choice(
        place, "Gate: not worse than", f"{KEY}against", ["", *choices.baselines(), "A"],
        format_func=lambda each: {"": "no gate", "A": "contestant A"}.get(each, f"baseline {each}"),
        help="Fails where the pass rate is shown to be worse (one-sided, 95%), and by more than the margin.",
    )  # fmt: skip
    margin = inputs.number(beside, "by more than (points)", f"{KEY}margin", (0.0, 100.0), 0.0, step=0.5)
    if not against:
        return None
    return Gate(
        against="" if against == "A" else against, require=(Requirement(not_worse_than_points=float(margin or 0)),)
    )


def _with(options: list[str], key: str) -> list[str]:
    """The options, and what the form was filled in with besides."""
    given = st.session_state.get(key) or []
    return list(dict.fromkeys([*options, *([given] if isinstance(given, str) else given)]))


def _expected(plan: Plan) -> AimmError | None:
    """Draw the likely cost of each contestant; why there is none, where the plan is refused."""
    if not allowed.may("editor"):  # the core would note that it was refused
        st.caption(allowed.why_not("editor"))
        return None
    try:
        ranges = manager().evaluations.estimate(plan)
    except AimmError as error:
        return error
    rows = [
        [
            Cell(f"{who.letter} {who.label}", dot=of_contestant(who.position, theme.mode()), is_strong=True),
            *(Cell(formatting.usd(each)) for each in (found.low_usd, found.expected_usd, found.high_usd)),
        ]
        for who, found in zip(plan.contestants, ranges, strict=True)
    ]
    interval.table(_COSTS, rows, theme.ink(), label="Expected cost")
    low, expected, high = map(formatting.usd, choices.totals(ranges))
    n = sum(each.n_cells for each in ranges)
    st.caption(formatting.plain(f"{n:,} answers: expected {expected} (from {low}), at most {high}"))
    return None
