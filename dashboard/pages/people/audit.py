"""Audit: who changed what, from where, when, before and after."""

from datetime import UTC, datetime, time, timedelta
from functools import partial

import streamlit as st

from core.domain.people.entry import AUDIT_FORMATS, Wanted
from dashboard import address, tables
from dashboard.components import head
from dashboard.components.people import entry
from dashboard.frames import people
from dashboard.process import manager, zone
from dashboard.visitors import allowed

PAGE_SIZE = 100
OUTCOMES = ("done", "refused")


def newest() -> None:
    address.put("audit_before", None)


def midnight(key: str, label: str, *, days: int = 0) -> datetime | None:
    """The beginning of the day that was chosen, so many days on, in the installation's time zone."""
    day = st.date_input(label, None, key=key, bind="query-params", on_change=newest)
    return None if day is None else datetime.combine(day, time(), zone()).astimezone(UTC) + timedelta(days=days)


def whole(wanted: Wanted, format_: str) -> bytes:
    return b"".join(manager().audit.export(wanted, format_))


row = head.show("Audit")
if not allowed.may("admin"):
    st.info(allowed.why_not("admin"), icon=":material/lock:")
    st.stop()
kinds = manager().audit.kinds()
address.check("audit_kind", kinds, "kind")
address.check("audit_outcome", OUTCOMES, "outcome")
words = {"bind": "query-params", "on_change": newest, "label_visibility": "collapsed", "width": 190, "max_chars": 200}
who = row.text_input("Who", key="audit_who", placeholder="Who", **words)
subject = row.text_input("Of what", key="audit_subject", placeholder="Of what", **words)
picked = {"bind": "query-params", "on_change": newest, "label_visibility": "collapsed", "width": 150}
kind = row.selectbox("Kind", kinds, None, key="audit_kind", placeholder="Kind", **picked)
outcome = row.selectbox("Outcome", OUTCOMES, None, key="audit_outcome", placeholder="Outcome", **picked)
with row.popover("Days", icon=":material/calendar_month:"):
    since = midnight("audit_since", "From")
    until = midnight("audit_until", "To, the day included", days=1)
wanted = Wanted(
    who=who.strip(),
    kinds=(kind,) if kind else (),
    subject=subject.strip(),
    outcome=outcome or "",
    since=since,
    until=until,
)
found, older = manager().audit.page(wanted, PAGE_SIZE, address.value("audit_before"))
if not found:
    is_filtered = wanted != Wanted()
    st.info(
        "No change matches. Take a filter away."
        if is_filtered
        else "Nothing has been changed yet. Whatever is changed on pages, by the API or by commands is noted here.",
        icon=":material/history:",
    )
    st.stop()
at = tables.opened(
    people.entries(found),
    "audit_table",
    [each.id for each in found],
    column_config={"time": tables.TIME, "what": st.column_config.TextColumn(width=560)},
    height=640 if len(found) > 18 else "content",
)
if at is not None:
    address.put("entry", at)
line = st.container(horizontal=True, vertical_alignment="center")
if address.value("audit_before"):
    line.button("Newest", icon=":material/first_page:", key="audit_newest", on_click=newest)
if older:
    line.button(
        "Older",
        icon=":material/chevron_right:",
        key="audit_older",
        on_click=partial(address.put, "audit_before", older),
    )
line.space("stretch")
for name, mime in AUDIT_FORMATS.items():
    line.download_button(
        name.upper(), partial(whole, wanted, name), f"audit.{name}", mime,
        key=f"audit_{name}", icon=":material/download:", on_click="ignore", help="All entries that the filters find.",
    )  # fmt: skip
entry.show()
