"""The list of evaluations, of which a click opens one; and the way to a new one."""

from typing import Any

import streamlit as st

from core import NotFound
from core.domain.evaluation.run import EvaluationRun
from dashboard import address, tables, theme
from dashboard.charts.colours import of_contestant
from dashboard.components import demo
from dashboard.components.evaluation import form, run
from dashboard.frames.evaluation import listing
from dashboard.process import manager
from dashboard.visitors import allowed

NEW, SHOWN, LOOK_S = "new", 25, 3.0  # NEW stands in the address where a run's id does
_VERDICT_HELP = (
    "Against the gate's baseline, else against A, with 95% intervals. Undecided: the difference may be none."
)
_EMPTY = (
    "No evaluations yet. One asks every item of a dataset, checks each answer, and says which prompt or model is"
    " better."
)


def draw(row: Any) -> None:
    """Draw what the address names: the list, the form of a new evaluation, or a run."""
    asked = address.value("evaluation")
    shown = None if asked in (None, NEW) else _found(asked or "")
    if asked is not None and (asked == NEW or shown is not None):
        row.button("All evaluations", key="eval_back", type="tertiary", icon=":material/arrow_back:", on_click=_close)
        if shown is None:
            form.draw()
        else:
            run.draw(shown)
        return
    row.button(
        "New evaluation", key="eval_new", type="primary", icon=":material/add:", on_click=address.put,
        args=("evaluation", NEW), **allowed.needs("editor"),
    )  # fmt: skip
    found, _ = manager().evaluations.page(SHOWN)
    if not found:
        demo.offer(_EMPTY, "eval_demo")
    elif any(each.is_running for each in found):
        st.fragment(_listed, run_every=LOOK_S)()
    else:
        _table(found)


def _found(run_id: str) -> EvaluationRun | None:
    try:
        return manager().evaluations.get(run_id)
    except NotFound:
        address.missing("evaluation", "evaluation")
        return None


def _close() -> None:
    address.put("evaluation", None)
    for name in run.NAMES:
        address.put(name, None)


def _listed() -> None:
    """Draw the list anew while something in it runs."""
    _table(manager().evaluations.page(SHOWN)[0])


def _table(found: list[EvaluationRun]) -> None:
    frame, c = listing.table(found), st.column_config
    colours = {
        text: of_contestant(at, theme.mode()) for one in found for at, text in enumerate(listing.contestant_texts(one))
    }
    names = list(colours)
    shown = frame.assign(contestants=[[chip for (chip,) in tables.chips(each)] for each in frame["contestants"]])
    config = {
        "name": c.TextColumn("Evaluation", width=180),
        "dataset": c.TextColumn("Dataset", width=92),
        "status": c.TextColumn("Status", width=88),
        "contestants": tables.model_column(names, colours, label="Contestants", width=217),
        "pass rate": c.TextColumn("Pass rate", width=122),
        "verdict": c.TextColumn("Verdict", width=272, help=_VERDICT_HELP),
        "cost $": tables.money_column("Cost", frame["cost $"], width=78),
        "started": c.DatetimeColumn("Started", format="D MMM", width=54),
    }
    at = tables.opened(
        shown, "eval_runs", [each.id for each in found], column_config=config, row_height=36, height="content"
    )
    if at is not None:
        address.put("evaluation", at)
        st.rerun()
