"""Experiments: prove on traffic which variant is better, and say so only when the data carry it."""

import streamlit as st

from dashboard import address, tables, theme
from dashboard.components import demo, head, managed
from dashboard.components.experiments import detail, form
from dashboard.frames import experiments
from dashboard.process import manager
from dashboard.visitors import allowed

NEW = "new"  # stands in the address where an experiment's id does

known = {experiment.id: experiment for experiment in manager().experiments.all()}
asked = address.value("experiment")
if asked not in (None, NEW, *known):
    address.missing("experiment", "experiment")
    asked = None
if asked == NEW:
    head.show("New experiment").button(
        "All experiments", icon=":material/arrow_back:", type="tertiary", key="exp_back",
        on_click=lambda: address.put("experiment", None),
    )  # fmt: skip
    form.show()
    st.stop()
if asked is not None:
    detail.show(experiments.report(asked))
    st.stop()

head.show("Experiments").button(
    "New experiment", icon=":material/add:", type="primary", key="exp_new",
    on_click=lambda: address.put("experiment", NEW), **allowed.needs("editor"),
)  # fmt: skip
if not known:
    demo.offer("No experiments yet. Start a new one, or load the demo data.", "exp_demo")
    st.stop()
frame, ink, c = experiments.table(list(known.values())), theme.ink(), st.column_config
reach = max((abs(each) for course in frame["effect"] for each in course), default=1.0) or 1.0
colours = (ink.brand, ink.brand, ink.muted, ink.good, ink.muted, ink.fail, ink.fail)
config = {
    "name": c.TextColumn("Experiment", width=190),
    "status": tables.model_column(
        experiments.STATUSES, dict(zip(experiments.STATUSES, colours, strict=True)), label="Status", width=92
    ),
    "verdict": c.TextColumn("Verdict", width=520),
    "effect": c.LineChartColumn("Effect so far", width=120, y_min=-reach, y_max=reach, help="The line is no effect."),
    "left": c.TextColumn("Time left", width=96),
}
shown = frame.assign(status=tables.chips(frame["status"]))
at = tables.opened(shown, "experiments", known, column_config=config, row_height=40)
managed.note("experiments")
if at is not None:
    address.put("experiment", at)
    st.rerun()
