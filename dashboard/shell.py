"""The frame of every page: navigation, strip, banners."""

import streamlit as st

from dashboard import address, failure, login
from dashboard.components import frame

st.set_page_config(page_title="AI Model Manager", page_icon=":material/monitoring:", layout="wide")

page = st.navigation(
    {
        "Work": [
            st.Page("pages/playground.py", title="Playground", icon=":material/chat:", url_path="playground"),
            st.Page("pages/workflows.py", title="Workflows", icon=":material/account_tree:"),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare:"),
            st.Page("pages/experiments.py", title="Experiments", icon=":material/science:"),
            st.Page("pages/monitoring.py", title="Monitoring", icon=":material/monitoring:"),
        ],
        "Records": [
            st.Page("pages/log.py", title="Log", icon=":material/list:"),
            st.Page("pages/gateway.py", title="Gateway", icon=":material/router:"),
            st.Page("pages/models.py", title="Models & prices", icon=":material/sell:"),
            st.Page("pages/settings.py", title="Settings", icon=":material/settings:"),
            # The root shows the Playground too.
            st.Page("pages/playground.py", title="Playground", url_path="root", default=True, visibility="hidden"),
        ],
    },
    position="sidebar" if login.is_in() or not login.is_needed() else "hidden",
)

if login.lets_in():
    for part in (frame.strip, frame.banners):
        with failure.contained():
            part()
    address.enter(page.title)
    page.run()  # an error of the page itself ends the run, so that what was typed below it is kept: see failure.show
