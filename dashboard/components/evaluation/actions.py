"""The things that can be done with a run."""

from typing import Any

import streamlit as st

from dashboard.components import estimates, inputs
from dashboard.frames.evaluation.reading import Seen
from dashboard.process import manager


def draw(row: Any, of: Seen) -> None:
    run = of.run
    if run.is_running:
        row.button("Stop", key="eval_stop", icon=":material/stop:", on_click=_do, args=("stop", run.id),
                   help="What came is kept; it can be resumed.")  # fmt: skip
        return
    n_left = run.n_cells - of.n_done
    n_errors = sum(tally.outcomes.get("error", 0) for tally in of.tallies)
    if n_left or n_errors:
        with row.popover("Resume", icon=":material/play_arrow:", key="eval_resume_box"):
            st.markdown(f"{n_left:,} cells have no answer, {n_errors:,} failed. What was answered is not asked again.")
            estimates.cap_field("eval_cap", "this run", "Empty: as before. It counts what the run has cost already.")
            with_errors = st.toggle("Ask the failed ones too", True, key="eval_resume_errors")
            if st.button("Resume run", type="primary", key="eval_resume"):
                _do("resume", run.id, limit_usd=estimates.cap("eval_cap"), errors=with_errors)
                st.rerun()


def _do(what: str, run_id: str, **options: Any) -> None:
    inputs.done(st, getattr(manager().evaluations, what), run_id, **options)
