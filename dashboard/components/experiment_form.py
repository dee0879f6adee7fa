"""The form that starts an experiment."""

import streamlit as st

from core import AimmError
from core.domain.experiment import Variant
from core.domain.generation import Parameters
from dashboard import formatting, queries
from dashboard.session import manager


def show() -> None:
    names = queries.model_names()
    n = int(
        st.number_input(
            "Variants",
            2,
            10,
            2,
            key="exp_n",
            help="The first one with a weight is the control: the others are compared with it.",
        )
        or 2
    )
    with st.form("exp_form", border=False):
        name = st.text_input("Name", key="exp_name")
        hypothesis = st.text_input(
            "Hypothesis", key="exp_hypothesis", placeholder="What do you expect to change, and why? One sentence."
        )
        variants = []
        for at in range(n):
            row = st.columns([1, 1, 2, 0.8, 0.8])
            label = row[0].text_input(
                f"Variant {'ABCDEFGHIJ'[at]}", key=f"exp_name_{at}", placeholder="name (optional)"
            )
            model = row[1].selectbox("Model", names, min(at, len(names) - 1), key=f"exp_model_{at}")
            system = row[2].text_input("System prompt", key=f"exp_system_{at}", placeholder="optional")
            temperature = row[3].number_input(
                "Temperature", 0.0, 2.0, None, 0.1, key=f"exp_temperature_{at}", placeholder="default"
            )
            weight = row[4].number_input(
                "Weight", 0, 1000, 1, key=f"exp_weight_{at}", help="Shares of units are in proportion to the weights."
            )
            variants.append(
                Variant(
                    position=at,
                    name=label or "",
                    model=model or "",
                    system=system or None,
                    parameters=Parameters(temperature=temperature),
                    weight=int(weight or 0),
                )
            )
        if st.form_submit_button("Start", type="primary", icon=":material/play_arrow:"):
            if not (hypothesis or "").strip():
                st.error("Write down what you expect first: a hypothesis made up afterwards proves nothing.")
                return
            try:
                st.session_state["exp_id"] = (
                    manager().experiments.create(name or "", variants, hypothesis=hypothesis or "").id
                )
            except AimmError as error:
                st.error(formatting.plain(f"{error.message} {error.hint}"))
                return
            st.rerun()
