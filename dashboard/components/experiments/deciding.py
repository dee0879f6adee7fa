"""The decision on an experiment: ship a variant, keep the control, or stop; each asks once more, by name."""

from typing import Any

import streamlit as st

from core import AimmError, ExperimentReport
from core.domain.experiment import Experiment, Variant
from dashboard import failure, formatting
from dashboard.components import inputs
from dashboard.frames import experiments
from dashboard.process import manager
from dashboard.visitors import allowed

_ASKED = "exp_asked"
PLAYED = 1000
ALIAS_HELP = (
    "The name that programs ask for instead of a model. It moves to the variant by steps: 5, 25, then 100% of the"
    " traffic, and back by itself if a guardrail breaks."
)


def buttons(found: ExperimentReport, row: Any) -> None:
    """Draw them into the head's row; the one that the verdict names stands out."""
    experiment, decision = found.experiment, found.decision
    control, *others = experiment.served
    is_running = experiment.status == "running"
    with row.popover("More", icon=":material/more_horiz:", type="tertiary"):
        _more(experiment)
    if is_running:
        _button(row, "Stop", "stop", decision.action == "stop" or found.is_same, "End it without a decision.")
    if experiment.is_rollout:
        pass  # it ships by itself
    elif others and not found.is_same:
        keeps = decision.winner == control.position
        if is_running:
            _button(row, f"Keep {control.letter}", "keep", keeps, f"Keep {control.name}, and end the experiment.")
        if is_running or not experiment.is_demo:
            label = f"Ship {others[0].letter}" if len(others) == 1 else "Ship a variant"
            names = " or ".join(variant.name for variant in others)
            _button(row, label, "ship", decision.action == "ship" and not keeps, f"Ship {names}.")
    asked, kind = st.session_state.get(_ASKED, ("", ""))
    if asked == experiment.id:
        title = {"stop": "Stop", "keep": f"Keep {control.name}", "ship": "Ship"}[kind]
        st.dialog(formatting.plain(formatting.short(f"{title}: {experiment.name}")), on_dismiss=_close)(_inside)(
            found, kind
        )


def _button(row: Any, label: str, kind: str, is_primary: bool, help_text: str) -> None:
    row.button(
        label, key=f"exp_{kind}", type="primary" if is_primary else "secondary",
        **allowed.needs("editor", formatting.plain(help_text)),
        on_click=lambda: st.session_state.update({_ASKED: (st.query_params.get("experiment"), kind)}),
    )  # fmt: skip


def _close() -> None:
    st.session_state.pop(_ASKED, None)


def _inside(found: ExperimentReport, kind: str) -> None:
    with failure.contained():
        st.markdown(formatting.plain(experiments.said(found.verdict)))
        experiment = found.experiment
        control, *others = experiment.served
        variant: Variant | None = control if kind == "keep" else None
        alias = ""
        if kind == "ship":
            variant, alias = _shipped(found, others)
        is_running = experiment.status == "running"
        why = inputs.text(st, "Reason", "exp_why", placeholder="for the decision record") if is_running else ""
        if experiment.is_rollout:
            st.caption(f"The alias goes back to {formatting.plain(control.model)}.")
        label = {"ship": f"Ship {variant.name}" if variant else "Ship", "keep": f"Keep {control.name}"}.get(
            kind, "Stop"
        )
        row = st.container(horizontal=True)
        sure = row.button(
            formatting.plain(f"{label} and end the experiment" if is_running and kind != "stop" else label),
            type="primary", key="exp_sure",
            **allowed.needs("editor", disabled=kind == "ship" and (variant is None or not (is_running or alias))),
        )  # fmt: skip
        if row.button("Cancel", key="exp_cancel"):
            _close()
            st.rerun()
        if sure:
            try:
                if alias and variant is not None:
                    manager().aliases.promote(experiment.id, variant.position, alias)
                if is_running:
                    reason = f"{label}. {why}" if kind != "stop" else why
                    manager().experiments.stop(experiment.id, reason)
            except AimmError as error:
                inputs.refused(st, error)
                return
            _close()
            st.session_state.pop("exp_why", None)
            experiments.forget()
            st.rerun()


def _shipped(found: ExperimentReport, others: list[Variant]) -> tuple[Variant | None, str]:
    """The variant and the alias that gets it; the data's winner is offered first, and nothing where there is none."""
    winner, names = found.decision.winner, {variant.position: variant.name for variant in others}
    at = list(names).index(winner) if winner in names else 0 if len(others) == 1 else None
    if winner not in names:
        st.warning("The data do not say that it is better.", icon=":material/info:")
    position = inputs.choice(st, "Variant", "exp_ship_variant", list(names), at, format_func=names.__getitem__)
    variant = next((each for each in others if each.position == position), None)
    if found.experiment.is_demo or variant is None or variant.workflow:
        return variant, ""
    label = "Roll out to alias" if found.experiment.status != "running" else "Roll out to alias (optional)"
    return variant, inputs.text(st, label, "exp_ship_alias", placeholder="support-bot", help=ALIAS_HELP).strip()


def _more(experiment: Experiment) -> None:
    st.download_button(
        "Decision record",
        lambda: manager().experiments.record_of(experiment.id),
        f"{experiment.name}.md",
        "text/markdown",
        icon=":material/description:",
        key="exp_record",
        on_click="ignore",
        help="Hypothesis, phases, numbers and decision. `aimm experiments verify FILE` checks it against the database.",
    )
    if experiment.status != "running" or experiment.is_rollout:
        return
    if experiment.is_simulated and st.button(
        "Simulate 1,000 users",
        icon=":material/groups:",
        key="exp_play",
        **allowed.needs(
            "editor", "Invents outcomes: A succeeds in 30%, B in 38%, C in 34%, identical ones alike. Calls no model."
        ),
    ):
        manager().experiments.traffic.play(experiment.id, PLAYED)
        experiments.forget()
        st.rerun()
    st.caption("New weights start a new phase. Units already assigned keep their variant.")
    key = f"exp_reweigh_{experiment.id}"
    with st.form("exp_weights", border=False):
        weights = [
            int(inputs.number(st, formatting.plain(v.name), f"{key}_{v.position}", (0, 1_000_000), v.weight) or 0)
            for v in experiment.variants
        ]
        asked = st.form_submit_button("Start a new phase", **allowed.needs("editor"))
        if asked and inputs.done(st, manager().experiments.weigh, experiment.id, weights):
            experiments.forget()
            st.rerun()
