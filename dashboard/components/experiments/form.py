"""A new experiment in four steps, with the time that it will take beside them; each step says what is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.experiment import PRIMARY, UNITS, Guardrail, Metric, Variant
from core.domain.generation import Parameters
from core.experiments.words import in_days
from core.formats.names import PROMPT, ref_in
from dashboard import address, formatting
from dashboard.components import inputs
from dashboard.frames import experiments, models, workflows
from dashboard.process import manager
from dashboard.visitors import allowed

WORKFLOW, DRAFT = "workflow: ", "draft_"
RULES = {"superior": "it is better", "not_worse_and_cheaper": "not worse, cheaper"}
GUARDRAILS: dict[Metric, tuple[str, float, float, float]] = {
    "error_rate": ("Max error rate increase (points)", 100.0, 2.0, 0.5),
    "latency_p95": ("Max p95 latency increase (%)", 1000.0, 50.0, 5.0),
    "cost": ("Max cost per call increase (%)", 1000.0, 0.0, 5.0),
}
# The unit in which an effect on a metric is typed, its scale to the metric's own, and a first value.
EFFECTS: dict[str, tuple[str, float, float]] = {
    "success": ("points", 100.0, 3.0), "rating": ("of 1 to 5", 1.0, 0.2), "number": ("its unit", 1.0, 1.0),
    "cost_per_success": ("USD", 1.0, 0.001), "latency_p95": ("%", 100.0, 10.0),
}  # fmt: skip
SPREADS = {"rating": 1.2, "number": 1.0}  # standard deviations of a unit, to begin with
POWER = "80% power at 95% confidence, for the interval that holds at every look. It often decides earlier."


def show() -> None:
    left, right = st.columns([2.4, 1], gap="medium")
    missing: list[str] = []
    with left:
        with _step("1 What is tested", missing) as lacks:
            name, hypothesis, variants = _tested(lacks)
        with _step("2 Where and whom", missing) as lacks:
            where = _audience(variants, lacks)
        with _step("3 What decides", missing) as lacks:
            design = _deciding(lacks)
        with _step("4 How long", missing):
            days, n_per_day, typical = _traffic(design["primary"])
    design["max_days"] = days
    served = [v for v in variants if v.is_served]
    with right, st.container(border=True, key="side_experiment"):
        _expected(design, n_per_day * where["audience"], typical, len(served), where["unit"])
        if st.button(
            "Start",
            type="primary",
            icon=":material/play_arrow:",
            key="exp_start",
            **allowed.needs("editor", disabled=bool(missing)),
            width="stretch",
        ):
            _start(name, hypothesis, variants, design | where)
        if missing:
            st.caption(f"Missing: {', '.join(missing)}")


@contextmanager
def _step(title: str, missing: list[str]) -> Iterator[list[str]]:
    """A box of inputs; its head says what they lack, which is collected."""
    with st.container(border=True):
        place, lacks = st.empty(), list[str]()
        yield lacks
        mark = f":orange[missing: {', '.join(lacks)}]" if lacks else ":green[:material/check:]"
        place.markdown(f"**{title}** {mark}")
        missing += lacks


def _start(name: str, hypothesis: str, variants: list[Variant], design: dict[str, Any]) -> None:
    try:
        made = manager().experiments.create(name, variants, hypothesis=hypothesis, **design)
    except AimmError as error:
        inputs.refused(st, error)
        return
    for key in [key for key in st.session_state if str(key).startswith(DRAFT)]:
        del st.session_state[key]
    address.put("experiment", made.id)
    st.rerun()


def _tested(lacks: list[str]) -> tuple[str, str, list[Variant]]:
    row = st.columns([3, 1])
    name = inputs.text(row[0], "Name", f"{DRAFT}name", max_chars=200)
    help_text = "The first variant with a weight is the control; the others are compared with it."
    n = int(inputs.number(row[1], "Variants", f"{DRAFT}n", (2, 10), 2, help=help_text) or 2)
    hypothesis = inputs.text(
        st, "Hypothesis", f"{DRAFT}hypothesis", placeholder="What will change, and why?",
        help="Written first: one made up afterwards proves nothing.",
    )  # fmt: skip
    options = [*models.names_to_ask(), *(f"{WORKFLOW}{each}" for each in workflows.names())]
    variants = [_variant(at, options) for at in range(n)]
    lacks += [what for what, text in (("name", name), ("hypothesis", hypothesis)) if not text.strip()]
    return name, hypothesis, variants


def _variant(at: int, options: list[str]) -> Variant:
    row = st.columns([1.0, 1.4, 1.5, 0.9, 0.8, 1.3], vertical_alignment="bottom")
    label = inputs.text(row[0], f"Variant {'ABCDEFGHIJ'[at]}", f"{DRAFT}name_{at}", placeholder="name")
    model = inputs.choice(row[1], "Model or workflow", f"{DRAFT}model_{at}", options, min(at, len(options) - 1)) or ""
    system = inputs.text(
        row[2], "System prompt", f"{DRAFT}system_{at}", placeholder="optional", help=f"A text, or {PROMPT}NAME@live."
    ).strip()
    more = st.session_state.get(f"{DRAFT}parameters_{at}") or {}  # what the form does not ask for
    if more:
        named = ", ".join(f"{name} {formatting.short(str(value), 60)}" for name, value in more.items())
        st.caption(formatting.plain(f"Variant {'ABCDEFGHIJ'[at]} also has {named}."))
    temperature = inputs.number(
        row[3], "Temperature", f"{DRAFT}temperature_{at}", (0.0, 2.0), step=0.1, placeholder="default"
    )
    weight = inputs.number(
        row[4], "Weight", f"{DRAFT}weight_{at}", (0, 1000), 1, help="Users are split in proportion to the weights."
    )
    shadow_help = "Answers silently beside the assigned variant. Never returned or compared; its cost is shown."
    shadow = inputs.switch(row[5], "Shadow", f"{DRAFT}shadow_{at}", shadow_help)
    is_workflow = model.startswith(WORKFLOW)
    return Variant(
        position=at,
        name=label,
        model="" if is_workflow else model,
        workflow=model.removeprefix(WORKFLOW) if is_workflow else "",
        system=None if ref_in(system) else system or None,
        prompt_version=system if ref_in(system) else "",
        parameters=Parameters(**{**more, "temperature": temperature}),
        weight=int(weight or 0),
        is_shadow=shadow,
    )


def _audience(variants: list[Variant], lacks: list[str]) -> dict[str, Any]:
    row = st.columns(4, vertical_alignment="bottom")
    unit_help = "Who is assigned to a variant and counted. Several calls of one user are one unit."
    unit = inputs.choice(row[0], "Unit", f"{DRAFT}unit", UNITS, help=unit_help)
    audience = inputs.number(
        row[1], "Audience (%)", f"{DRAFT}audience", (0.1, 100.0), 100.0,
        help="The rest get the control and are not counted.",
    )  # fmt: skip
    internal = inputs.text(
        row[2], "Internal users", f"{DRAFT}internal", placeholder="qa-*, bot@*", help="Served, but not counted."
    )
    thompson = inputs.switch(
        row[3], "Adaptive traffic", f"{DRAFT}thompson",
        "Thompson sampling: traffic moves to what looks best, with at least 10% each. Estimates of variants with"
        " little traffic stay rough: use it to earn, not to learn.",
    )  # fmt: skip
    n = sum(variant.is_served for variant in variants)
    if n < 2 and not (n and any(variant.is_shadow for variant in variants)):
        lacks.append("two variants with a weight above 0")
    return {
        "unit": unit,
        "audience": float(audience or 100) / 100,
        "internal_units": tuple(part.strip() for part in internal.split(",") if part.strip()),
        "allocation": "thompson" if thompson else "fixed",
    }


def _deciding(lacks: list[str]) -> dict[str, Any]:
    row = st.columns(4, vertical_alignment="bottom")
    primary = inputs.choice(row[0], "Primary metric", f"{DRAFT}primary", PRIMARY, format_func=experiments.label)
    rule = inputs.choice(row[1], "Ship B when", f"{DRAFT}rule", list(RULES), format_func=RULES.__getitem__)
    unit, scale, first = EFFECTS[primary]
    small = inputs.number(
        row[2], f"Smallest effect that matters ({unit})", f"{DRAFT}small_{primary}", (0.0, 1000.0), first,
        step=first / 10, help="The duration is planned for it. 0 = not said.", format="%g",
    )  # fmt: skip
    margin = None
    if rule == "not_worse_and_cheaper":
        text = "The primary metric may be worse by less than this."
        margin = inputs.number(
            row[3], f"Acceptable loss ({unit})", f"{DRAFT}margin_{primary}", (0.0, 1000.0), first, step=first / 10,
            help=text, format="%g",
        )  # fmt: skip
        lacks += [] if margin else ["acceptable loss"]
    bounds = {
        metric: inputs.number(
            place, text, f"{DRAFT}guard_{metric}", (0.0, most), value, step=step, help="0 = no limit."
        )
        for place, (metric, (text, most, value, step)) in zip(st.columns(3), GUARDRAILS.items(), strict=True)
    }
    return {
        "primary": primary,
        "rule": rule,
        "margin": float(margin or 0) / scale,
        "smallest_effect": float(small) / scale if small else None,
        "guardrails": tuple(Guardrail(metric=metric, margin=most / 100) for metric, most in bounds.items() if most),
    }


def _traffic(primary: Metric) -> tuple[int, float, float]:
    """Days, units a day, and the metric as it is today: a rate, or the standard deviation of a unit."""
    row = st.columns(3)
    days = inputs.number(row[0], "End after at most (days)", f"{DRAFT}days", (1, 3650), 90)
    per_day = inputs.number(
        row[1], "Users per day", f"{DRAFT}per_day", (0, 10_000_000), experiments.units_per_day() or 1000,
        help="All variants together: your traffic of the last 14 days, or 1,000 if there was none.",
    )  # fmt: skip
    typical = 0.0
    if primary == "success":
        rate = inputs.number(row[2], "Success rate today (%)", f"{DRAFT}rate", (0.1, 99.9), 30.0)
        typical = float(rate or 30) / 100
    elif primary in SPREADS:
        sd = inputs.number(row[2], "Standard deviation", f"{DRAFT}sd_{primary}", (0.001, 1e9), SPREADS[primary])
        typical = float(sd or 1)
    return int(days or 90), float(per_day or 0), typical


def _expected(design: dict[str, Any], per_day: float, typical: float, n_variants: int, unit: str) -> None:
    """The expected duration, and what can be told in the time that there is."""
    effect = design["margin"] or design["smallest_effect"]
    found = experiments.expected(design["primary"], typical, effect, per_day, n_variants) if effect else None
    if found is None or found.always_days is None:
        st.metric("Expected duration", formatting.UNKNOWN)
        known = design["primary"] in ("success", *SPREADS)
        text = "Say the smallest effect that matters and the users per day." if known else "Told after the first days."
        st.caption(text if n_variants > 1 else "A shadow compares nothing; it runs as long as you want.")
        return
    st.metric("Expected duration", in_days(found.always_days), help=POWER)
    st.caption(f"{found.always_n:,} {unit}s per variant, at {per_day:,.0f} a day")
    if found.always_days > design["max_days"]:
        text = f"Longer than the {design['max_days']} days it may take: wait longer, or look for a larger effect."
        st.warning(text, icon=":material/schedule:")
    elif found.fixed_days is not None:
        st.caption(f"One look at a planned end would take {in_days(found.fixed_days).lower()}.")
