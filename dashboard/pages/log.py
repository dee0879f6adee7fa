"""Log: every call, newest first; search, filter, open."""

from datetime import timedelta

import streamlit as st

from dashboard import address, formatting
from dashboard.components import demo, head
from dashboard.components.log import drawer, feedback, history
from dashboard.frames import log, models

SOURCES = ("playground", "workflow", "compare", "experiment", "api", "python", "cli", "demo")
STATUSES = ("ok", "error", "blocked", "truncated", "stopped")
FILTERS = {"model": models.names(), "source": SOURCES, "status": STATUSES}
PAGE_SIZE, MAX_PAGE, HEIGHT = 100, 1000, 640


def first_page() -> None:
    """A new search is shown from its beginning."""
    st.session_state["log_page"] = 1


def clear() -> None:
    for name in ("log_search", *(f"log_{name}" for name in FILTERS)):
        st.session_state[name] = "" if name == "log_search" else None
    address.put("log_range", None)
    first_page()


def any_time() -> None:
    address.put("log_range", None)
    first_page()


row = head.show("Log")
for name, options in FILTERS.items():
    address.check(f"log_{name}", options, name)
address.check("log_page", lambda given: given.isdecimal() and 1 <= int(given) <= MAX_PAGE, "page")
span = log.whole_hours(address.moments(address.value("log_range")))
if span is None and address.value("log_range"):
    address.missing("log_range", "range of time")

search = row.text_input(
    "Search",
    key="log_search",
    placeholder="Search prompts and answers",
    icon=":material/search:",
    bind="query-params",
    max_chars=1000,  # all of it stands in the address, which a server takes up to 64 KiB of
    on_change=first_page,
    label_visibility="collapsed",
    width=280,
)
model, source, status = (
    row.selectbox(
        name.capitalize(),
        options,
        None,
        key=f"log_{name}",
        placeholder=name.capitalize(),
        bind="query-params",
        on_change=first_page,
        label_visibility="collapsed",
        width=150,
    )
    for name, options in FILTERS.items()
)

since, until = span or (None, None)
equal = {"model": model, "source": source, "status": status}
is_filtered = bool(search or span or any(equal.values()))
line = st.container(horizontal=True, vertical_alignment="center", gap="small")
total = log.counted(since, until, **equal)
if search:
    line.markdown("Calls with these words in the prompt or the answer", width="content")
else:
    unpriced = f" · {total.n_unpriced:,} without a price" if total.n_unpriced else ""
    cost = formatting.plain(formatting.usd(total.cost_usd))
    line.markdown(f"**{total.n:,}** calls · **{cost}** · {total.n_failed:,} failed{unpriced}", width="content")
if span:
    form = "%-d %b %H:%M" if span[1] - span[0] < timedelta(days=1) else "%-d %b"
    last = span[1] if form.endswith("M") else span[1] - timedelta(hours=1)
    line.button(
        f"{span[0]:{form}} – {last:{form}}", icon=":material/close:", icon_position="right", key="log_any_time",
        on_click=any_time, help="Show calls of any time (UTC).",
    )  # fmt: skip
if is_filtered:
    line.button("Clear all", type="tertiary", key="log_clear", on_click=clear)
line.space("stretch")
n_pages = MAX_PAGE if search else min(MAX_PAGE, max(1, -(-total.n // PAGE_SIZE)))
page = line.pagination(n_pages, key="log_page", max_visible_pages=5, bind="query-params") if n_pages > 1 else 1

found = log.latest(
    limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE, since=since, before=until, search=search or None, **equal
)
ids: list[str] = []
if found:
    ids = history.table(found, "log_table", height=HEIGHT if len(found) > 18 else "auto")
else:
    demo.offer("No call matches. Take a filter away." if is_filtered or page > 1 else "No calls yet.", "log_demo")
drawer.show(ids)
feedback.sums()
