"""Log: every call, newest first; search, filter, open."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from core import InvalidRequest
from core.domain.log.filter import CHOICES
from dashboard import address, formatting
from dashboard.components import demo, head, inputs
from dashboard.components.library import adding
from dashboard.components.log import breakdown, drawer, feedback, history, session, totals
from dashboard.frames import log, models

FILTERS: dict[str, Sequence[str]] = {"model": models.names_on_record(), "status": CHOICES["status"]}
MADE_FOR = ("deployment", "tag", "user", "session", "workflow", "experiment", "prompt")
RANGES = {"cost": "$", "latency": "s"}  # from the least to the most
VIEWS = ("Calls", "Breakdown")


def first_page() -> None:
    """A new search is shown from its beginning."""
    st.session_state["log_page"] = 1


def clear(*names: str) -> None:
    for name in names or (*log.FILTERS, "range"):
        if name == "range":
            address.put("log_range", None)
        else:
            st.session_state[f"log_{name}"] = "" if name in TYPED else None
    first_page()


def title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def choice(place: Any, name: str, options: Sequence[str]) -> str | None:
    picked: str | None = place.selectbox(
        name.capitalize(), options, None, key=f"log_{name}", placeholder=name.capitalize(), bind="query-params",
        on_change=first_page, label_visibility="collapsed", width=150 if name in FILTERS else "stretch",
    )  # fmt: skip
    return picked


def words(place: Any, name: str, placeholder: str) -> str:
    typed: str = place.text_input(
        title(name), key=f"log_{name}", placeholder=placeholder, bind="query-params", on_change=first_page,
        max_chars=1000,  # all of it stands in the address, which a server takes up to 64 KiB of
        label_visibility="collapsed", width="stretch" if name in RANGED else 280,
        icon=":material/search:" if name == "search" else None,
    )  # fmt: skip
    return typed.strip()


def chip(name: str, text: str) -> None:
    """A filter that is set; a click takes it away."""
    line.button(
        formatting.plain(formatting.short(text, 40)), icon=":material/close:", icon_position="right",
        key=f"log_without_{name}", on_click=partial(clear, name), help=f"Remove this filter: {name}.",
    )  # fmt: skip


breakdown.follow()
RANGED = tuple(f"{end}_{name}" for name in RANGES for end in ("min", "max"))
TYPED = ("search", *MADE_FOR, *RANGED)
row = head.show("Log")
keys = {label: key_id for key_id, label in log.key_labels().items()}
MORE: dict[str, Sequence[str]] = {
    "calls": CHOICES["calls"], "vendor": models.vendors_on_record(), "source": CHOICES["source"], "key": list(keys),
    "error": sorted(formatting.FAILURES), "feedback": CHOICES["feedback"],
}  # fmt: skip
for name, options in {**FILTERS, **MORE}.items():
    address.check(f"log_{name}", options, name)
address.check("log_page", lambda given: given.isdecimal() and 1 <= int(given) <= history.MAX_PAGE, "page")
span = log.whole_hours(address.moments(address.value("log_range")))
if span is None and address.value("log_range"):
    address.missing("log_range", "range of time")

address.check("log_view", VIEWS, "view")
view = row.segmented_control(
    "View", VIEWS, default="Calls", key="log_view", required=True, label_visibility="collapsed", bind="query-params"
)
chosen = {"search": words(row, "search", "Search prompts and answers")}
chosen |= {name: choice(row, name, options) or "" for name, options in FILTERS.items()}
with row.popover("More filters", icon=":material/filter_list:"):
    chosen |= {name: choice(st, name, options) or "" for name, options in MORE.items()}
    chosen |= {name: words(st, name, title(name)) for name in MADE_FOR}
    for name, unit in RANGES.items():
        least, most = st.columns(2)
        chosen[f"min_{name}"] = words(least, f"min_{name}", f"Min {name} ({unit})")
        chosen[f"max_{name}"] = words(most, f"max_{name}", f"Max {name} ({unit})")

line = st.container(horizontal=True, vertical_alignment="center", gap="small")
said = line.container(horizontal=True, vertical_alignment="center", width="content")
if span:
    chip("range", formatting.stretch(*span))
for name, value in chosen.items():
    if value:
        chip(name, f"{title(name)}: {value}")
is_filtered = bool(span or any(chosen.values()))
if is_filtered:
    line.button("Clear all", type="tertiary", key="log_clear", on_click=clear)
line.space("stretch")
try:
    wanted = log.wanted(span, chosen | {"key": keys.get(chosen["key"], chosen["key"])})
except InvalidRequest as error:
    inputs.refused(st, error)
    st.stop()
counted = totals.read(wanted)
total = counted.total
if is_filtered and (total is None or total.n):
    what = f"These calls, the newest {adding.MOST:,} at most"
    if chosen["session"]:
        session.offer(line, chosen["session"])
    adding.popover(line, "log_rows", lambda: log.latest(wanted, adding.MOST), what, skip_bad=True)

totals.show(said, counted, wanted)
ids: list[str] = []
if view == "Calls":
    ids = history.listed(line, wanted, total)
is_narrow = is_filtered or st.session_state.get("log_page", 1) > 1
if not total.n if total is not None else view == "Calls" and not ids:
    demo.offer("No call matches. Take a filter away." if is_narrow else "No calls yet.", "log_demo")
elif view == "Breakdown":
    by = breakdown.fields(st.container(horizontal=True, vertical_alignment="center", gap="small"))
    breakdown.show(wanted, total, by, {**FILTERS, **MORE})
if not session.show():
    drawer.show(ids)
feedback.sums()
