"""The form that starts an experiment, with a plan of how long it takes."""

from typing import Any

import streamlit as st

from core import AimmError
from core.domain.experiment import PRIMARY, UNITS, Guardrail, Metric, Variant
from core.domain.generation import Parameters
from core.experiments.words import names
from dashboard import address, tables
from dashboard.components import inputs
from dashboard.frames import experiments, models, workflows
from dashboard.process import manager

WORKFLOW = "workflow: "
RULES = {"superior": "better than the control", "not_worse_and_cheaper": "not worse, and cheaper"}
GUARDRAILS: dict[Metric, tuple[str, str, float, float, float]] = {
    "error_rate": ("Max error rate increase (points)", "exp_guard_errors", 100.0, 2.0, 0.5),
    "latency_p95": ("Max p95 latency increase (%)", "exp_guard_p95", 1000.0, 50.0, 5.0),
    "cost": ("Max cost per call increase (%)", "exp_guard_cost", 1000.0, 0.0, 5.0),
}
POINTS_HELP = "Success rate: 0.02 = 2 points."


def show() -> None:
    options = [*models.names_to_ask(), *(f"{WORKFLOW}{name}" for name in workflows.names())]
    help_text = "The first variant with a weight is the control; the others are compared with it."
    n = int(inputs.number(st, "Variants", "exp_n", (2, 10), 2, help=help_text) or 2)
    _planner(n)
    with st.form("exp_form", border=False):
        name = inputs.text(st, "Name", "exp_name")
        hypothesis = inputs.text(
            st, "Hypothesis", "exp_hypothesis", placeholder="What do you expect to change, and why? One sentence."
        )
        variants = [_variant(at, options) for at in range(n)]
        design = _design()
        if st.form_submit_button("Start", type="primary", icon=":material/play_arrow:"):
            _start(name, hypothesis, variants, design)


def _start(name: str, hypothesis: str, variants: list[Variant], design: dict[str, Any]) -> None:
    if not hypothesis.strip():
        st.error("Write your hypothesis first: one made up afterwards proves nothing.")
        return
    try:
        made = manager().experiments.create(name, variants, hypothesis=hypothesis, **design)
    except AimmError as error:
        inputs.refused(st, error)
        return
    address.put("experiment", made.id)
    st.rerun()


def _variant(at: int, options: list[str]) -> Variant:
    row = st.columns([1.2, 1.2, 2.0, 0.9, 0.8, 1.0], vertical_alignment="bottom")
    label = inputs.text(row[0], f"Variant {'ABCDEFGHIJ'[at]}", f"exp_name_{at}", placeholder="name (optional)")
    model = inputs.choice(row[1], "Model or workflow", f"exp_model_{at}", options, min(at, len(options) - 1)) or ""
    system = inputs.text(row[2], "System prompt", f"exp_system_{at}", placeholder="optional")
    temperature = inputs.number(
        row[3], "Temperature", f"exp_temperature_{at}", (0.0, 2.0), step=0.1, placeholder="default"
    )
    weight = inputs.number(
        row[4], "Weight", f"exp_weight_{at}", (0, 1000), 1, help="Units are split in proportion to the weights."
    )
    shadow_help = "Answers silently beside the assigned variant. Never returned or compared; its cost is shown."
    shadow = inputs.switch(row[5], "Shadow", f"exp_shadow_{at}", shadow_help)
    is_workflow = model.startswith(WORKFLOW)
    return Variant(
        position=at,
        name=label,
        model="" if is_workflow else model,
        workflow=model.removeprefix(WORKFLOW) if is_workflow else "",
        system=system or None,
        parameters=Parameters(temperature=temperature),
        weight=int(weight or 0),
        is_shadow=shadow,
    )


def _design() -> dict[str, Any]:
    row = st.columns(4, vertical_alignment="bottom")
    primary = inputs.choice(row[0], "Primary metric", "exp_primary", PRIMARY, format_func=names)
    rule = inputs.choice(
        row[1], "Decision rule", "exp_rule", list(RULES), format_func=RULES.__getitem__,
        help="Ship a variant when it is better than the control, or when it is not worse by the margin and cheaper.",
    )  # fmt: skip
    margin = inputs.number(
        row[2], "Margin", "exp_margin", (0.0, 1000.0), 0.02, step=0.01,
        help=f"For “not worse”: how much worse is still acceptable. {POINTS_HELP}",
    )  # fmt: skip
    small = inputs.number(
        row[3], "Smallest effect that matters", "exp_small", (0.0, 1000.0), step=0.01, placeholder="optional",
        help=f"In the metric's unit. {POINTS_HELP}",
    )  # fmt: skip
    given = {
        "primary": primary,
        "rule": rule,
        "margin": float(margin or 0) if rule == "not_worse_and_cheaper" else 0.0,
        "smallest_effect": float(small) if small else None,
    }
    with st.expander("Guardrails, unit and audience", icon=":material/shield:"):
        return given | _limits()


def _limits() -> dict[str, Any]:
    """Guardrails, unit, audience and allocation."""
    bounds = {
        metric: inputs.number(place, label, key, (0.0, most), value, step=step, help="0 turns this guardrail off.")
        for place, (metric, (label, key, most, value, step)) in zip(st.columns(3), GUARDRAILS.items(), strict=True)
    }
    row = st.columns(4, vertical_alignment="bottom")
    unit_help = "Who is assigned to a variant and counted. Several calls of one user are one unit."
    unit = inputs.choice(row[0], "Unit", "exp_unit", UNITS, help=unit_help)
    audience = inputs.number(
        row[1],
        "Audience (%)",
        "exp_audience",
        (0.1, 100.0),
        100.0,
        help="The rest get the control and are not counted.",
    )
    internal = inputs.text(
        row[2], "Internal units", "exp_internal", placeholder="qa-*, bot@*", help="Served, but not counted."
    )
    thompson = inputs.switch(
        row[3], "Adaptive traffic", "exp_thompson",
        "Thompson sampling: traffic moves to what looks best, with at least 10 % each. Estimates of variants with"
        " little traffic stay rough: use it to earn, not to learn.",
    )  # fmt: skip
    return {
        "guardrails": tuple(Guardrail(metric=metric, margin=most / 100) for metric, most in bounds.items() if most),
        "unit": unit,
        "audience": float(audience or 100) / 100,
        "internal_units": tuple(part.strip() for part in internal.split(",") if part.strip()),
        "allocation": "thompson" if thompson else "fixed",
    }


def _planner(n_variants: int) -> None:
    with st.expander("How long will it take?", icon=":material/calendar_month:"):
        row = st.columns(4)
        rate = inputs.number(row[0], "Current success rate (%)", "plan_rate", (0.1, 99.9), 30.0)
        per_day = inputs.number(
            row[1], "Units per day", "plan_day", (0, 10_000_000), experiments.units_per_day() or 1000,
            help="All variants together: your traffic of the last 14 days, or 1,000 if there was none.",
        )  # fmt: skip
        effects = inputs.text(row[2], "Differences (points)", "plan_effects", value="1, 2, 5")
        try:
            points = [float(part) / 100 for part in effects.split(",") if part.strip()]
        except ValueError:
            st.error("Differences are numbers, such as 1, 2, 5.")
            return
        days = inputs.number(row[3], "Days available", "plan_days", (1, 3650), 14)
        baseline, traffic = float(rate or 30) / 100, float(per_day or 0)
        frame = experiments.plans(baseline, [p for p in points if p], traffic, n_variants, n_variants - 1)
        config = {c: st.column_config.NumberColumn(format="%.1f") for c in frame.columns if "days" in c}
        tables.show(frame, column_config=config)
        st.caption(experiments.reach(baseline, traffic, int(days or 14), n_variants))
        st.caption(
            "80 % power, 95 % confidence. *Any look*: the interval used here. Stop as soon as it decides, on average"
            " well before the planned size. *One look*: the classical test, valid only if nobody looks before the end."
        )
