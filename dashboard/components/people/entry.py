"""One entry of the audit, in a drawer at the right."""

from html import escape

import streamlit as st

from core import NotFound
from core.domain.people.entry import AuditEntry
from core.formats import strict_json as json
from dashboard import address, formatting
from dashboard.frames import people
from dashboard.process import manager


def show() -> None:
    """Open the drawer where the address names an entry."""
    entry_id = address.value("entry")
    if entry_id is None:
        return
    try:
        found = manager().audit.get(entry_id)
    except NotFound:
        address.missing("entry", "entry")
        return
    address.window("entry", "Change")(_inside)(found)


def _inside(entry: AuditEntry) -> None:
    st.html(f"<b>{escape(entry.text)}</b>")  # in Markdown an address would be a link
    told = [formatting.when(entry.created_at), people.came_from(entry), entry.role, entry.outcome]
    st.caption(formatting.plain(" · ".join(filter(None, told))))
    if rows := people.fields(entry):
        lines = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(old)}</td><td><b>{escape(new)}</b></td></tr>"
            for name, old, new in rows
        )
        heads = "".join(f'<th scope="col">{each}</th>' for each in ("Field", "Before", "After"))
        st.html(
            f'<div class="aimm-wide"><table class="aimm-table"><thead><tr>{heads}</tr></thead>'
            f"<tbody>{lines}</tbody></table></div>"
        )
    if entry.outcome == "refused":
        st.caption("It was refused: nothing of this was done.")
    if entry.detail:
        st.caption("Details")
        st.code(json.dumps(dict(entry.detail), ensure_ascii=False, indent=2), language="json", wrap_lines=True)
