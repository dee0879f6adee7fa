"""The form that starts an experiment, with a plan of how long it takes."""

from typing import Any

import streamlit as st

from core import AimmError
from core.domain.experiment import PRIMARY, UNITS, Guardrail, Variant
from core.domain.generation import Parameters
from core.experiments.words import names
from dashboard import address, formatting, tables
from dashboard.frames import experiments, models, workflows
from dashboard.process import manager

WORKFLOW = "workflow: "
RULES = {"superior": "better than the control", "not_worse_and_cheaper": "not worse by the margin, and cheaper"}


def show() -> None:
    options = [*models.names_to_ask(), *(f"{WORKFLOW}{name}" for name in workflows.names())]
    n = int(
        st.number_input(
            "Variants",
            2,
            10,
            2,
            key="exp_n",
            persist_state="session",
            help="The first one with a weight is the control: the others are compared with it.",
        )
        or 2
    )
    _planner(n)
    with st.form("exp_form", border=False):
        name = st.text_input("Name", key="exp_name", persist_state="session")
        hypothesis = st.text_input(
            "Hypothesis", key="exp_hypothesis", persist_state="session", placeholder="What do you expect to change, and why? One sentence."
        )  # fmt: skip
        variants = [_variant(at, options) for at in range(n)]
        design = _design()
        if st.form_submit_button("Start", type="primary", icon=":material/play_arrow:"):
            _start(name or "", hypothesis or "", variants, design)


def _start(name: str, hypothesis: str, variants: list[Variant], design: dict[str, Any]) -> None:
    if not hypothesis.strip():
        st.error("Write down what you expect first: a hypothesis made up afterwards proves nothing.")
        return
    try:
        made = manager().experiments.create(name, variants, hypothesis=hypothesis, **design)
    except AimmError as error:
        st.error(formatting.plain(f"{error.message} {error.hint}"))
        return
    address.put("experiment", made.id)
    st.rerun()


def _variant(at: int, options: list[str]) -> Variant:
    row = st.columns([1.2, 1.2, 2.0, 0.9, 0.8, 1.0], vertical_alignment="bottom")
    label = row[0].text_input(f"Variant {'ABCDEFGHIJ'[at]}", key=f"exp_name_{at}", persist_state="session", placeholder="name (optional)")  # fmt: skip
    model = row[1].selectbox("Answers", options, min(at, len(options) - 1), key=f"exp_model_{at}", persist_state="session")  # fmt: skip
    system = row[2].text_input("System prompt", key=f"exp_system_{at}", persist_state="session", placeholder="optional")
    temperature = row[3].number_input("Temperature", 0.0, 2.0, None, 0.1, key=f"exp_temperature_{at}", persist_state="session", placeholder="default")  # fmt: skip
    weight = row[4].number_input("Weight", 0, 1000, 1, key=f"exp_weight_{at}", persist_state="session", help="Shares of units are in proportion to the weights.")  # fmt: skip
    shadow = row[5].toggle("Shadow", key=f"exp_shadow_{at}", persist_state="session", help="Answers silently beside the assigned variant; never returned, not compared, its cost is shown.")  # fmt: skip
    return Variant(
        position=at,
        name=label or "",
        model="" if (model or "").startswith(WORKFLOW) else model or "",
        workflow=(model or "").removeprefix(WORKFLOW) if (model or "").startswith(WORKFLOW) else "",
        system=system or None,
        parameters=Parameters(temperature=temperature),
        weight=int(weight or 0),
        is_shadow=shadow,
    )


def _design() -> dict[str, Any]:
    top = st.columns(4, vertical_alignment="bottom")
    primary = top[0].selectbox("Primary metric", PRIMARY, key="exp_primary", persist_state="session", format_func=names)
    rule = top[1].selectbox("Ship if", list(RULES), key="exp_rule", persist_state="session", format_func=lambda rule: RULES[rule])  # fmt: skip
    margin = top[2].number_input(
        "Margin", 0.0, 1000.0, 0.02, 0.01, key="exp_margin", persist_state="session", help="For “not worse”: how much worse is still good enough. Success rate: 0.02 = 2 points."
    )  # fmt: skip
    small = top[3].number_input(
        "Smallest effect that matters", 0.0, 1000.0, None, 0.01, key="exp_small", persist_state="session", placeholder="optional", help="In the metric's unit; success rate: 0.02 = 2 points."
    )  # fmt: skip
    with st.expander("Guardrails, unit and audience", icon=":material/shield:"):
        row = st.columns(3)
        errors = row[0].number_input("Error rate: at most + points", 0.0, 100.0, 2.0, 0.5, key="exp_guard_errors", persist_state="session", help="0 = no guardrail")  # fmt: skip
        p95 = row[1].number_input("p95 latency: at most + %", 0.0, 1000.0, 50.0, 5.0, key="exp_guard_p95", persist_state="session", help="0 = no guardrail")  # fmt: skip
        cost = row[2].number_input("Dollars per call: at most + %", 0.0, 1000.0, 0.0, 5.0, key="exp_guard_cost", persist_state="session", help="0 = no guardrail")  # fmt: skip
        low = st.columns(4, vertical_alignment="bottom")
        unit = low[0].selectbox("Unit", UNITS, key="exp_unit", persist_state="session", help="What is assigned and counted. Several calls of a user are one unit.")  # fmt: skip
        audience = low[1].number_input("Audience (%)", 0.1, 100.0, 100.0, key="exp_audience", persist_state="session", help="The others get the control and are not counted.")  # fmt: skip
        internal = low[2].text_input("Internal units", key="exp_internal", persist_state="session", placeholder="qa-*, bot@*", help="Served, not counted.")  # fmt: skip
        thompson = low[3].toggle("Earn while learning", key="exp_thompson", persist_state="session", help="Thompson sampling: traffic moves to what looks best, at least 10 % each. Estimates of what gets little traffic stay rough: use it to earn, not to learn.")  # fmt: skip
    given = (("error_rate", (errors or 0) / 100), ("latency_p95", (p95 or 0) / 100), ("cost", (cost or 0) / 100))
    return {
        "primary": primary,
        "rule": rule,
        "margin": float(margin or 0) if rule == "not_worse_and_cheaper" else 0.0,
        "smallest_effect": float(small) if small else None,
        "guardrails": tuple(Guardrail(metric=m, margin=v) for m, v in given if v),  # type: ignore[arg-type]
        "unit": unit,
        "audience": float(audience or 100) / 100,
        "internal_units": tuple(part.strip() for part in (internal or "").split(",") if part.strip()),
        "allocation": "thompson" if thompson else "fixed",
    }


def _planner(n_variants: int) -> None:
    with st.expander("How long will it take?", icon=":material/calendar_month:"):
        row = st.columns(4)
        rate = row[0].number_input("Success rate today (%)", 0.1, 99.9, 30.0, key="plan_rate", persist_state="session")
        per_day = row[1].number_input("Units a day", 0, 10_000_000, experiments.units_per_day() or 1000, key="plan_day", persist_state="session", help="All variants together; from your own traffic of the last 14 days, or 1,000 where there was none.")  # fmt: skip
        effects = row[2].text_input("Differences (points)", "1, 2, 5", key="plan_effects", persist_state="session")
        try:
            points = [float(part) / 100 for part in (effects or "").split(",") if part.strip()]
        except ValueError:
            st.error("Differences are numbers, such as 1, 2, 5.")
            return
        days = row[3].number_input("Days you have", 1, 3650, 14, key="plan_days", persist_state="session")
        frame = experiments.plans(float(rate or 30) / 100, [p for p in points if p], float(per_day or 0), n_variants, n_variants - 1)  # fmt: skip
        tables.show(frame, hide_index=True, column_config={c: st.column_config.NumberColumn(format="%.1f") for c in frame.columns if "days" in c})  # fmt: skip
        st.caption(experiments.reach(float(rate or 30) / 100, float(per_day or 0), int(days or 14), n_variants))
        st.caption(
            "80 % power, 95 % level. *Any look*: the interval that this product uses; stop when it says so, on average much"
            " earlier than planned. *One look*: the classical test, valid only if nobody looks before."
        )
