"""The frame of every page: navigation, strip, banners."""

import streamlit as st

from dashboard import address, failure, login
from dashboard.components import header

# Drawn here: browsers fetch the pictures of icons and emojis from other hosts.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#2563eb"/>'
    '<path d="M6 22l6-8 5 5 9-11" fill="none" stroke="#fff" stroke-width="3" stroke-linejoin="round"/></svg>'
)
st.set_page_config(page_title="AI Model Manager", page_icon=ICON, layout="wide")

is_in = login.lets_in()
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
    position="sidebar" if is_in else "hidden",
)

if is_in:
    for part in (header.strip, header.banners):
        with failure.contained():
            part()
    address.enter(page.title)
    page.run()  # an error of the page itself ends the run, so that what was typed below it is kept: see failure.show
