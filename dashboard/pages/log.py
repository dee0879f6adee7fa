"""Log: every call, newest first; search, filter, open."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboard import address, formatting
from dashboard.components import demo, head
from dashboard.components.library import adding
from dashboard.components.log import drawer, feedback, history
from dashboard.frames import log, models

SOURCES = ("playground", "workflow", "compare", "experiment", "api", "python", "cli", "demo")
STATUSES = ("failed", "ok", "error", "blocked", "truncated", "stopped")
FILTERS: dict[str, Sequence[str]] = {"model": models.names_on_record(), "status": STATUSES}
MADE_FOR = ("tag", "user", "workflow", "experiment", "prompt")
PAGE_SIZE, MAX_PAGE, HEIGHT = 100, 1000, 640


def first_page() -> None:
    """A new search is shown from its beginning."""
    st.session_state["log_page"] = 1


def clear(*names: str) -> None:
    for name in names or (*log.FILTERS, "range"):
        if name == "range":
            address.put("log_range", None)
        else:
            st.session_state[f"log_{name}"] = "" if name in ("search", *MADE_FOR) else None
    first_page()


def choice(place: Any, name: str, options: Sequence[str]) -> str | None:
    picked: str | None = place.selectbox(
        name.capitalize(), options, None, key=f"log_{name}", placeholder=name.capitalize(), bind="query-params",
        on_change=first_page, label_visibility="collapsed", width=150 if name in FILTERS else "stretch",
    )  # fmt: skip
    return picked


def words(place: Any, name: str, placeholder: str) -> str:
    typed: str = place.text_input(
        name.capitalize(), key=f"log_{name}", placeholder=placeholder, bind="query-params", on_change=first_page,
        max_chars=1000,  # all of it stands in the address, which a server takes up to 64 KiB of
        label_visibility="collapsed", width=280,
        icon=":material/search:" if name == "search" else None,
    )  # fmt: skip
    return typed.strip()


def chip(name: str, text: str) -> None:
    """A filter that is set; a click takes it away."""
    line.button(
        formatting.plain(formatting.short(text, 40)), icon=":material/close:", icon_position="right",
        key=f"log_without_{name}", on_click=partial(clear, name), help=f"Remove this filter: {name}.",
    )  # fmt: skip


row = head.show("Log")
keys = {label: key_id for key_id, label in log.key_labels().items()}
for name, options in {**FILTERS, "calls": list(log.CALLS), "source": SOURCES, "key": keys}.items():
    address.check(f"log_{name}", options, name)
address.check("log_page", lambda given: given.isdecimal() and 1 <= int(given) <= MAX_PAGE, "page")
span = log.whole_hours(address.moments(address.value("log_range")))
if span is None and address.value("log_range"):
    address.missing("log_range", "range of time")

chosen = {"search": words(row, "search", "Search prompts and answers")}
chosen |= {name: choice(row, name, options) or "" for name, options in FILTERS.items()}
with row.popover("More filters", icon=":material/filter_list:"):
    chosen |= {"calls": choice(st, "calls", list(log.CALLS)) or ""}
    chosen |= {"source": choice(st, "source", SOURCES) or "", "key": choice(st, "key", list(keys)) or ""}
    chosen |= {name: words(st, name, name.capitalize()) for name in MADE_FOR}

since, until = span or (None, None)
search, given = chosen["search"], {name: value or None for name, value in chosen.items() if name != "search"}
given["key"] = keys.get(chosen["key"])
line = st.container(horizontal=True, vertical_alignment="center", gap="small")
total = None if search else log.counted(since, until, **given)
said = line.container(width="content")
if span:
    chip("range", formatting.stretch(*span))
for name, value in chosen.items():
    if value:
        chip(name, f"{name.capitalize()}: {value}")
is_filtered = bool(span or any(chosen.values()))
if is_filtered:
    line.button("Clear all", type="tertiary", key="log_clear", on_click=clear)
line.space("stretch")
if is_filtered and (total is None or total.n):
    given_all = {"since": since, "before": until, "search": search or None, **given}
    what = f"These calls, the newest {adding.MOST:,} at most"
    adding.popover(line, "log_rows", lambda: log.latest(limit=adding.MOST, **given_all), what, skip_bad=True)


def page_of(n_pages: int) -> int:
    if n_pages < 2:
        return 1
    # Wide enough for all it shows: in a row with other things it would take less room and leave pages out.
    return line.pagination(n_pages, key="log_page", max_visible_pages=5, bind="query-params", width=250)


# How many pages a search has, nobody counts: one that begins has a second where there is more than a page.
begins = total is None and "log_page" not in st.query_params and st.session_state.get("log_page", 1) == 1
n_pages = MAX_PAGE if total is None else min(MAX_PAGE, -(-total.n // PAGE_SIZE))
page = 1 if begins else page_of(n_pages)
found = history.read(
    PAGE_SIZE, offset=(page - 1) * PAGE_SIZE, since=since, before=until, search=search or None, **given
)
if begins and found.total.n > PAGE_SIZE:
    page_of(n_pages)
elif begins:
    total = found.total
if total is None:
    said.markdown("Calls with these words" if search else "Calls with all of these", width="content")
else:
    usd = formatting.plain(formatting.usd(total.cost_usd))
    parts = [f"**{total.n:,}** calls{'' if span else ' of all time'}", f"**{usd}**"]
    parts += [] if total.n_failed is None else [f"{total.n_failed:,} failed"]
    parts += [f"{total.n_unpriced:,} without a price"] if total.n_unpriced else []
    said.markdown(" · ".join(parts), width="content")
ids: list[str] = []
if found.total.n:
    ids = history.draw(found, "log_table", height=HEIGHT if found.total.n > 18 else "auto")
elif is_filtered or page > 1:
    demo.offer("No call matches. Take a filter away.", "log_demo")
else:
    demo.offer("No calls yet.", "log_demo")
drawer.show(ids)
feedback.sums()
