"""Experiments: prove on traffic which variant is better, and say so only when the data carry it."""

import streamlit as st

from dashboard import address, tables
from dashboard.components import demo
from dashboard.components.experiments import detail, form
from dashboard.frames import experiments as frames
from dashboard.process import manager

mm = manager()
state = st.session_state


def snippet(experiment_id: str) -> None:
    base = str(st.context.url or "http://localhost:8501").split("/experiments")[0].rstrip("/")
    head = "-H 'Content-Type: application/json'"
    st.code(
        f'curl {base}/api/experiment/{experiment_id}/test {head} \\\n  -d \'{{"user_id": "u_42", "prompt": "…"}}\'\n\n'
        f'curl {base}/api/experiment/{experiment_id}/record {head} \\\n  -d \'{{"user_id": "u_42", "success": true, "rating": 5}}\'\n\n'
        f"curl {base}/api/experiment/{experiment_id}/stats",
        language="bash",
    )
    st.caption("Or only assign (`/assign`), call the model yourself, and record by `user_id`, `assignment_id` or `generation_id`.")  # fmt: skip


def simulator() -> None:
    st.caption("How often each way of calling a winner errs if one looks all the time, with numbers of your own.")
    row = st.columns(3)
    rate = row[0].number_input("Success rate (%)", 0.0, 100.0, 30.0, key="peek_rate", persist_state="session")
    effect = row[1].number_input("True difference (points)", -50.0, 50.0, 0.0, key="peek_effect", persist_state="session", help="0: every winner is a false one.")  # fmt: skip
    n = row[2].number_input("Units a side", 10, 100_000, 5000, key="peek_n", persist_state="session")
    if not 0 <= (rate or 0) + (effect or 0) <= 100:
        st.error("The rate and the difference together must stay between 0 and 100 %.")
        return
    frame = frames.peeking(float(rate or 0) / 100, float(effect or 0) / 100, int(n or 5000))
    columns = {c: st.column_config.NumberColumn(format="%.1f") for c in frame.columns if c != "method"}
    tables.show(frame, hide_index=True, column_config=columns)
    st.caption("300 simulated experiments, 200 looks each.")


st.title("Experiments")
experiments = {experiment.id: experiment for experiment in mm.experiments.all()}
with st.expander("New experiment", icon=":material/add:", expanded=not experiments):
    form.show()
if not experiments:
    demo.offer("No experiments yet. Start one above, or look at three made-up ones.", "exp_demo")
    st.stop()


def chosen() -> None:
    address.put("experiment", state.exp_id)


if address.value("experiment") not in experiments:
    if address.value("experiment") is not None:
        address.missing("experiment", "experiment")
    address.put("experiment", next(iter(experiments)))
label = state["exp_id"] = str(address.value("experiment"))
st.selectbox(
    "Experiment",
    list(experiments),
    key="exp_id",
    on_change=chosen,
    format_func=lambda i: (
        f"{experiments[i].name} ({experiments[i].status}{', demo' if experiments[i].is_demo else ''})"
    ),
)
detail.show(frames.report(label))
if not experiments[label].is_demo:
    with st.expander("Use it from a program", icon=":material/code:"):
        snippet(label)
with st.expander("What does looking all the time do?", icon=":material/science:"):
    simulator()
