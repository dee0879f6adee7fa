"""Experiments from a program, and a simulation of why looking at any time is allowed here."""

import streamlit as st

from dashboard import tables
from dashboard.components import inputs
from dashboard.frames import experiments


def snippet(experiment_id: str) -> None:
    base = str(st.context.url or "http://localhost:8501").split("/experiments")[0].rstrip("/")
    head = "-H 'Content-Type: application/json'"
    url = f"curl {base}/api/experiment/{experiment_id}"
    st.code(
        f'{url}/test {head} \\\n  -d \'{{"user_id": "u_42", "prompt": "…"}}\'\n\n'
        f'{url}/record {head} \\\n  -d \'{{"user_id": "u_42", "success": true, "rating": 5}}\'\n\n'
        f"{url}/stats",
        language="bash",
    )
    st.caption(
        "Or only assign a variant (`/assign`), call the model yourself, and record the outcome by `user_id`,"
        " `assignment_id` or `generation_id`."
    )


def show() -> None:
    st.caption("How often each method declares a winner when you look all the time. Try your own numbers.")
    row = st.columns(3)
    rate = inputs.number(row[0], "Success rate (%)", "peek_rate", (0.0, 100.0), 30.0)
    effect = inputs.number(
        row[1], "True difference (points)", "peek_effect", (-50.0, 50.0), 0.0, help="At 0 every winner is a false one."
    )
    n = inputs.number(row[2], "Units per variant", "peek_n", (10, 100_000), 5000)
    if not 0 <= (rate or 0) + (effect or 0) <= 100:
        st.error("The rate and the difference together must be between 0 and 100%.")
        return
    frame = experiments.peeking(float(rate or 0) / 100, float(effect or 0) / 100, int(n or 5000))
    columns = {c: st.column_config.NumberColumn(format="%.1f") for c in frame.columns if c != "method"}
    tables.show(frame, column_config=columns)
    st.caption("300 simulated experiments, 200 looks each.")
