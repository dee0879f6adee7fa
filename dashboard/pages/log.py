"""Log: every call, newest first; search, filter, open."""

import streamlit as st

from dashboard import address
from dashboard.components import demo
from dashboard.components.log import feedback, history
from dashboard.frames import log, models

SOURCES = ("playground", "workflow", "compare", "experiment", "api", "python", "cli", "demo")
STATUSES = ("ok", "error", "blocked", "truncated", "stopped")
PAGE_SIZE, MAX_PAGE = 100, 100_000

st.title("Log")
FILTERS = {"model": models.names(), "source": SOURCES, "status": STATUSES}
for name, options in FILTERS.items():
    address.check(f"log_{name}", options, name)
address.check("log_page", lambda given: given.isdecimal() and 1 <= int(given) <= MAX_PAGE, "page")


def first_page() -> None:
    """A new search is shown from its beginning."""
    st.session_state["log_page"] = 1


row = st.columns([2, 1, 1, 1, 0.8], vertical_alignment="bottom")
search = row[0].text_input(
    "Search",
    key="log_search",
    placeholder="words in prompts and answers",
    icon=":material/search:",
    bind="query-params",
    max_chars=1000,  # all of it stands in the address, which a server takes up to 64 KiB of
    on_change=first_page,
)
model, source, status = (
    place.selectbox(
        name.capitalize(),
        options,
        None,
        key=f"log_{name}",
        placeholder="all",
        bind="query-params",
        on_change=first_page,
    )
    for place, (name, options) in zip(row[1:4], FILTERS.items(), strict=True)
)
page = int(row[4].number_input("Page", 1, MAX_PAGE, 1, key="log_page", bind="query-params") or 1)

found = log.latest(
    limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE, model=model, source=source, status=status, search=search or None
)
if not found:
    demo.offer(
        "No calls match. Remove a filter." if any((search, model, source, status)) or page > 1 else "No calls yet.",
        "log_demo",
    )
elif history.table(found, "log_table") is None:
    st.caption(f"{len(found)} calls on this page. Select one to open it.")
history.opened()
feedback.sums()
