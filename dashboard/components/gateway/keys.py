"""Keys of programs: what each may do and has spent; a form for a new one; the end of an old one."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import streamlit as st

from core import AimmError
from core.domain.key import SCOPES, Key
from core.issuing import Allowance, issue
from dashboard import address, formatting
from dashboard.frames import gateway
from dashboard.process import manager

_COLUMNS = {
    "id": None,
    **{name: st.column_config.TextColumn(name.capitalize()) for name in gateway.KEY_COLUMNS},
    "expires": st.column_config.TextColumn("Expires (UTC)"),
    "last used": st.column_config.TextColumn("Last used (UTC)", help="To about a minute."),
    "month": st.column_config.TextColumn(
        "This month", help="Known cost of its real calls; simulated calls never count."
    ),
}
_SCOPE_HELP = "call: ask models, record outcomes. read: see metrics, costs, the log. admin: change things, keys too."


def show() -> None:
    st.subheader("Keys", help="A program sends its key as `Authorization: Bearer aimm_…`. Only a digest of it is kept.")
    table = st.container()
    with st.expander("New key", icon=":material/add:"):
        _form()
    with table:
        _table()


def _table() -> None:
    keys = manager().keys.all()
    ended = [key for key in keys if key.revoked_at is not None]
    if ended and not st.toggle(f"Show {len(ended)} revoked", key="gateway_revoked", bind="query-params"):
        keys = [key for key in keys if key.revoked_at is None]
    if not keys:
        st.info("No keys yet. On this machine none is needed; make one for each program, to count and limit it.", icon=":material/key:")  # fmt: skip
        return
    key_id = address.table(gateway.keys_frame(keys), "key", "gateway_keys", column_config=_COLUMNS)
    key = next((each for each in keys if each.id == key_id), None)
    if key_id is None:
        st.caption("Select a key to end it.")
    elif key is None:
        address.missing("key", "key")
    elif key.revoked_at is None:
        _revoke(key)


def _revoke(key: Key) -> None:
    with st.popover(f"Revoke {formatting.plain(key.name)}", icon=":material/block:"):
        st.markdown(f"**{formatting.plain(key.name)}** ({formatting.plain(key.hint)}) stops working within a second, for good.")  # fmt: skip
        if st.button("Revoke", type="primary", key=f"revoke_{key.id}"):
            try:
                manager().keys.revoke(key.id)
            except AimmError as error:  # somebody was faster
                st.error(formatting.plain(error.message))
            else:
                st.cache_data.clear()
                st.rerun()


def _form() -> None:
    with st.form("key_new", border=False, clear_on_submit=False):
        top = st.columns([1.4, 1.2, 1.6])
        name = top[0].text_input("Name", key="key_name", persist_state="session", placeholder="what uses it, such as ci", max_chars=80)  # fmt: skip
        scopes = top[1].multiselect("Scopes", SCOPES, ["call"], key="key_scopes", persist_state="session", help=_SCOPE_HELP)  # fmt: skip
        models = top[2].multiselect("Models", gateway.names_to_ask(), key="key_models", persist_state="session", accept_new_options=True, placeholder="all", help="Names or patterns, such as gpt-4o* or exp:*.")  # fmt: skip
        row = st.columns([1.4, 0.8, 0.8, 1.2])
        tags = row[0].multiselect("Tags", [], key="key_tags", persist_state="session", accept_new_options=True, placeholder="none", help="On each of its calls, for spend and budgets by tag.")  # fmt: skip
        rpm = row[1].number_input("Requests a minute", 1, 1_000_000, None, key="key_rpm", persist_state="session", placeholder="no limit")  # fmt: skip
        user_rpm = row[2].number_input("… of each user", 1, 1_000_000, None, key="key_user_rpm", persist_state="session", placeholder="no limit")  # fmt: skip
        log = row[3].selectbox("What is kept of its texts", ("full", "metadata", "none"), None, key="key_log", persist_state="session", placeholder="as the server does")  # fmt: skip
        row = st.columns([0.7, 0.7, 1, 1.2], vertical_alignment="bottom")
        limit = row[0].number_input("Budget (USD)", 0.000001, 1e9, None, key="key_budget", persist_state="session", placeholder="none", format="%.2f", help="It stops there.")  # fmt: skip
        period = row[1].selectbox("per", ("day", "week", "month"), 2, key="key_period", persist_state="session") or "month"  # fmt: skip
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        ends_on = row[2].date_input("Ends on (UTC)", None, tomorrow, key="key_ends", persist_state="session", format="YYYY-MM-DD")  # fmt: skip
        shares = row[3].toggle("Shares kept answers", key="key_shares", persist_state="session", help="With other keys that do so too.")  # fmt: skip
        if not st.form_submit_button("Make the key", icon=":material/key:", type="primary"):
            return
    _make(
        name or "",
        Allowance(Decimal(str(limit)), period) if limit else None,
        {
            "scopes": tuple(scopes), "models": tuple(models), "tags": tuple(tags), "rpm": rpm, "user_rpm": user_rpm,
            "log_content": log, "shares_cache": shares, "expires_at": _end(ends_on),
        },
    )  # fmt: skip


def _end(day: object) -> datetime | None:
    return datetime.combine(day, time(), UTC) if isinstance(day, date) else None


def _make(name: str, allowance: Allowance | None, fields: dict[str, object]) -> None:
    try:
        key, secret, budget = issue(manager(), name, allowance=allowance, **fields)
    except AimmError as error:
        st.error(formatting.plain(f"{error.message} {error.hint}".strip()), icon=":material/error:")
        return
    st.cache_data.clear()
    st.warning(f"Copy the key of **{formatting.plain(key.name)}** now: it is shown this once, and nobody can look it up.", icon=":material/key:")  # fmt: skip
    st.code(secret, language=None)
    if budget is not None:
        limit = formatting.plain(f"{formatting.usd(budget.limit_usd)} a {budget.period}")
        st.caption(f"It stops at {limit}: budget {formatting.plain(budget.name)}, on Monitoring.")
