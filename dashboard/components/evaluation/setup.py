"""The plan of a run: its contestants' prompts and parameters, its checks, its gate."""

import streamlit as st

from core.domain.evaluation.run import EvaluationRun, gate_to_dict
from dashboard import formatting, tables
from dashboard.frames.evaluation import choices


def draw(run: EvaluationRun) -> None:
    plan = run.plan
    st.subheader("Checks", anchor=False)
    if plan.checks:
        tables.show(choices.checks_table(plan.checks))
    else:
        st.caption("None for all items: each row's own checks count.")
    if plan.threshold is not None:
        st.caption(f"A cell passes from a score of {plan.threshold:g}.")
    for each in plan.contestants:
        with st.expander(formatting.plain(f"{each.letter} {each.label}")):
            if each.content is not None:
                for message in each.content.messages:
                    st.caption(message.role)
                    st.code(message.text, language=None, wrap_lines=True)
            else:
                st.caption("No prompt: each row brings its own turns.")
            if each.asked and each.asked != each.model:
                st.caption(formatting.plain(f"The alias {each.model} stood for {each.asked}."))
            if told := each.parameters.as_dict():
                st.json(told)
    st.subheader("Gate", anchor=False)
    if plan.gate is None:
        st.caption("None: `aimm eval run` fails where any check fails.")
    else:
        st.json(gate_to_dict(plan.gate))
    st.caption(formatting.plain(f"Run {run.id}, begun by {run.source}{f', {run.author}' if run.author else ''}."))
