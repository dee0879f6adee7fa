"""Home: where things stand today, what needs attention, and the first steps of a newcomer."""

import streamlit as st

from dashboard import formatting
from dashboard.components import head
from dashboard.components.home import steps, today
from dashboard.frames import home, monitoring
from dashboard.visitors import visits

head.show("Home")
steps.show()
has_any = monitoring.has_calls(simulated=False) or monitoring.has_calls(simulated=True)
today.attention()
if has_any:
    today.tiles()
    today.moved()

today.standing()
verdicts, since = home.verdicts(), visits.last()
if verdicts:
    st.subheader("Running experiments", anchor=False)
for experiment, verdict in verdicts:
    today.draw(
        home.Line("plain", f"{experiment.name} – {verdict}", "experiments", {"experiment": experiment.id}),
        f"verdict_{experiment.id}",
    )
running = home.evaluations()
if running:
    st.subheader("Running evaluations", anchor=False)
for at, line in enumerate(running):
    today.draw(line, f"evaluation_{at}")
if compared := home.compared():
    st.subheader("Latest evaluations", anchor=False)
for at, line in enumerate(compared):
    today.draw(line, f"compared_{at}")
if since is not None and has_any:
    st.subheader("Since your last visit", anchor=False, help=f"It ended {formatting.when(since)}.")
    lines = home.news(since)
    for at, line in enumerate(lines):
        today.draw(line, f"news_{at}")
    if not lines:
        st.caption("Nothing new.")
