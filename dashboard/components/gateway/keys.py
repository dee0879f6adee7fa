"""Keys of programs: what each may do and has spent; a form for a new one; the end of an old one."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import streamlit as st

from core import AimmError, Allowance
from core.domain.key import SCOPES, Key
from dashboard import address, formatting
from dashboard.components import inputs
from dashboard.frames import gateway
from dashboard.process import manager

_COLUMNS = {
    "id": None,
    "expires": st.column_config.TextColumn("Expires (UTC)"),
    "last used": st.column_config.TextColumn("Last used (UTC)", help="Accurate to about a minute."),
    "month": st.column_config.TextColumn(
        "This month", help="Known cost of its real calls. Simulated calls never count."
    ),
}
_SCOPE_HELP = (
    "call: use models, record outcomes. read: see metrics, costs and the log. admin: change settings, keys included."
)


def show() -> None:
    st.subheader(
        "Keys", help="A program sends its key as `Authorization: Bearer aimm_…`. Only a digest of it is stored."
    )
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
        st.info(
            "No keys yet. None is needed on this machine; create one per program to count and limit its calls.",
            icon=":material/key:",
        )
        return
    key_id = address.table(gateway.keys_frame(keys), "key", "gateway_keys", column_config=_COLUMNS)
    key = next((each for each in keys if each.id == key_id), None)
    if key_id is None:
        st.caption("Select a key to revoke it.")
    elif key is None:
        address.missing("key", "key")
    elif key.revoked_at is None:
        _revoke(key)


def _revoke(key: Key) -> None:
    with st.popover(f"Revoke {formatting.plain(key.name)}", icon=":material/block:"):
        name, hint = formatting.plain(key.name), formatting.plain(key.hint)
        st.markdown(f"**{name}** ({hint}) stops working within a second, for good.")
        if st.button("Revoke", type="primary", key=f"revoke_{key.id}"):
            try:
                manager().keys.revoke(key.id)
            except AimmError as error:  # somebody was faster
                inputs.refused(st, error)
            else:
                st.cache_data.clear()
                st.rerun()


def _form() -> None:
    with st.form("key_new", border=False, clear_on_submit=False):
        row = st.columns([1.4, 1.2, 1.6])
        name = inputs.text(row[0], "Name", "key_name", placeholder="the program, such as ci", max_chars=80)
        scopes = inputs.choices(row[1], "Scopes", "key_scopes", SCOPES, ["call"], help=_SCOPE_HELP)
        models = inputs.choices(
            row[2], "Models", "key_models", gateway.names_to_ask(), accept_new_options=True, placeholder="all",
            help="Names or patterns, such as gpt-4o* or exp:*.",
        )  # fmt: skip
        row = st.columns([1.4, 0.8, 0.8, 1.2])
        tags = inputs.choices(
            row[0], "Tags", "key_tags", [], accept_new_options=True, placeholder="none",
            help="Added to each of its calls, for spend and budgets by tag.",
        )  # fmt: skip
        rpm = inputs.number(row[1], "Requests per minute", "key_rpm", (1, 1_000_000), placeholder="no limit")
        user_rpm = inputs.number(row[2], "Per user and minute", "key_user_rpm", (1, 1_000_000), placeholder="no limit")
        stored = ("full", "metadata", "none")
        log = inputs.choice(row[3], "Stored content", "key_log", stored, None, placeholder="server default")
        row = st.columns([0.8, 0.8, 1, 1.2], vertical_alignment="bottom")
        limit = inputs.number(
            row[0], "Budget (USD)", "key_budget", (0.000001, 1e9), placeholder="none", format="%.2f",
            help="Calls are refused once it is spent.",
        )  # fmt: skip
        period = inputs.choice(row[1], "Budget period", "key_period", ("day", "week", "month"), 2)
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        ends_on = row[2].date_input(
            "Expires on (UTC)", None, tomorrow, key="key_ends", persist_state="session", format="YYYY-MM-DD"
        )
        shares = inputs.switch(
            row[3], "Share cache with other keys", "key_shares", "Only with keys that share theirs too."
        )
        if not st.form_submit_button("Create key", icon=":material/key:", type="primary"):
            return
    allowance = Allowance(Decimal(str(limit)), period) if limit else None
    fields = {
        "scopes": tuple(scopes), "models": tuple(models), "tags": tuple(tags), "rpm": rpm, "user_rpm": user_rpm,
        "log_content": log, "shares_cache": shares, "expires_at": _end(ends_on),
    }  # fmt: skip
    _create(name, allowance, fields)


def _end(day: object) -> datetime | None:
    return datetime.combine(day, time(), UTC) if isinstance(day, date) else None


def _create(name: str, allowance: Allowance | None, fields: dict[str, object]) -> None:
    try:
        key, secret, budget = manager().issuer.issue(name, allowance=allowance, **fields)
    except AimmError as error:
        inputs.refused(st, error)
        return
    st.cache_data.clear()
    st.warning(f"Copy the key of **{formatting.plain(key.name)}** now: it is shown only once.", icon=":material/key:")
    st.code(secret, language=None)
    if budget is not None:
        limit = formatting.plain(f"{formatting.usd(budget.limit_usd)} per {budget.period}")
        st.caption(f"Limited to {limit} by the budget {formatting.plain(budget.name)}; see Budgets.")
