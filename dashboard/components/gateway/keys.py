"""Keys of programs: what each may do and has spent; dialogs for a new one, its changes and its end."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import streamlit as st

from core import AimmError, Allowance, SpendOf
from core.domain.key import SCOPES, Key
from core.formats import zones
from dashboard import address, formatting, process, tables, theme
from dashboard.components import clicks, clients, inputs
from dashboard.components.gateway import snippets
from dashboard.frames import gateway, log
from dashboard.process import manager
from dashboard.visitors import allowed

_SCOPE_HELP = (
    "call: use models, record outcomes. read: see metrics, costs and the log. admin: change settings, keys included."
)
_LIMITS = {
    "rpm": ("Requests per minute", "Requests per user and minute"),
    "tpm": ("Tokens per minute", "Tokens per user and minute"),
    "max_parallel": ("Calls at the same time", "Calls per user at the same time"),
}
_STORED = ("full", "metadata", "none")
_NONE = Key(id="", name="", hint="", created_at=datetime.now(UTC))  # what the form of a new key begins with
NEW = "new"


def show() -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader(
        "Keys", help="A program sends its key as `Authorization: Bearer aimm_…`. Only a digest of it is stored.",
        anchor=False,
    )  # fmt: skip
    row.space("stretch")
    keys = manager().keys.all()
    ended = [key for key in keys if key.revoked_at is not None]
    if ended and not row.toggle(f"Show {len(ended)} revoked", key="gateway_revoked", bind="query-params"):
        keys = [key for key in keys if key.revoked_at is None]
    if keys:
        _table(keys)
        return
    text = "No keys yet. None is needed on this machine; create one per program to count and limit its calls."
    st.info(text, icon=":material/key:")


def _table(keys: list[Key]) -> None:
    frame = gateway.keys_frame(keys)
    c, ink, utc = st.column_config, theme.ink(), formatting.of_utc()
    states = {"Active": ink.pale_good, "Expired": ink.axis, "Revoked": ink.axis, "Owner disabled": ink.axis}
    config = {
        "name": c.TextColumn("Name", width=200),
        "state": tables.model_column(states, states, label="State", width=72),
        "last used": c.DatetimeColumn(
            "Last used", format="D MMM HH:mm", help="Accurate to about a minute.", width=108
        ),
        "tags": c.TextColumn("Tags", width=104),
        "models": c.TextColumn("Models", width=84),
        "limits": c.TextColumn("Per minute", width=110, help="Requests that it may make."),
        "expires": c.DatetimeColumn("Expires", format="D MMM YYYY", width=96),
        "budget": c.ProgressColumn(
            "Budget spent", format="percent", min_value=0, max_value=1, width=104,
            help="Of its budgets and those of its tags, the one of which most is spent.",
        ),
        "calls": c.NumberColumn("Calls", format="localized", width=64, help=f"Real calls of this month{utc}."),
        "unpriced": c.NumberColumn("Unpriced", width=74, help="Calls whose cost is unknown and not in the sums."),
        "today": c.TextColumn(f"Today{utc}", width=96 if utc else 74, alignment="right"),
        "month": c.TextColumn(
            f"This month{utc}", width=124 if utc else 88, alignment="right",
            help="Known cost of its real calls. Simulated calls never count.",
        ),
    }  # fmt: skip
    empty = [
        name for name in ("tags", "expires", "budget") if frame[name].isin(["", None]).all() or frame[name].isna().all()
    ]
    empty += [] if frame["unpriced"].any() else ["unpriced"]
    # Where there are states to tell apart, there is no room for all.
    empty += ["state"] if all(key.is_valid_at(datetime.now(UTC)) for key in keys) else ["limits"]
    ids = [key.id for key in keys]
    at = tables.opened(frame.drop(columns=empty), "gateway_keys", ids, column_config=config, row_height=36)
    if at is not None:
        address.put("key", at)
    st.caption("Click a key to see its limits, change or revoke it.")


def dialog(server: str) -> None:
    """The dialog that the address names: a new key, or one that there is. server: The address for snippets."""
    key_id = address.value("key")
    if key_id is None:
        return
    if key_id == NEW:
        address.window("key", "New key")(_new)(server)
        return
    key = manager().keys.of_id(key_id)
    if key is None:
        address.missing("key", "key")
    else:
        address.window("key", f"Key {formatting.plain(key.name)}")(_one)(key)


def open_new() -> None:
    address.put("key", NEW)


def _one(key: Key) -> None:
    today, month = gateway.spend_by_key()
    tiles = st.columns(4)
    tiles[0].metric("Today", gateway.spent(today.get(key.id)))
    tiles[1].metric("This month", gateway.spent(month.get(key.id)))
    tiles[2].metric("Calls this month", formatting.count(_calls(month.get(key.id))))
    budget = gateway.budgets_by_key().get(key.id)
    tiles[3].metric("Budget spent", formatting.percent(budget.share_spent, 0) if budget else formatting.UNKNOWN)
    used = formatting.when(key.last_used_at) if key.last_used_at else "never"
    facts = f"{key.hint} · {gateway.state(key)} · created {formatting.when(key.created_at)} · last used {used}"
    st.caption(formatting.plain(facts))
    if budget is not None:
        st.page_link(
            "pages/budgets.py", icon=":material/savings:", query_params={"budget_search": budget.budget.name},
            label=formatting.plain(f"Budget {budget.budget.name}: {formatting.usd(budget.spent_usd)} of"
                                   f" {formatting.usd(budget.limit_usd)} {budget.budget.period_text}"),
        )  # fmt: skip
    st.page_link(
        "pages/log.py",
        label="Calls of this key",
        icon=":material/list:",
        query_params={"log_key": log.key_labels().get(key.id, key.name)},
    )
    if key.revoked_at is not None:
        st.info(f"Revoked at {formatting.when(key.revoked_at)}.", icon=":material/block:")
        return
    _change(key)
    st.divider()
    _revoke(key)


def _calls(found: SpendOf | None) -> int:
    return found.n if found else 0


def _change(key: Key) -> None:
    state = f"key_{key.id}_{hash(key) & 0xFFFF}_"  # what was typed for an earlier version is no longer meant
    with st.form(f"{state}form", border=False):
        places: dict[str, Any] = {}
        fields = _fields(key, state, places)
        below = st.container()
        if not st.form_submit_button("Save", icon=":material/save:", type="primary", **allowed.needs("admin")):
            return
    try:
        manager().keys.change(key.id, **fields)
    except AimmError as error:
        inputs.refused_at(places, error, below)
    else:
        _done(state)


def _revoke(key: Key) -> None:
    name = formatting.plain(key.name)
    sure = st.checkbox(f"**{name}** ({formatting.plain(key.hint)}) stops working within a second, for good.")
    asked = st.button(
        f"Revoke {name}", icon=":material/block:", key=f"revoke_{key.id}", **allowed.needs("admin", disabled=not sure)
    )
    if clicks.first(asked, "revoke", key.id) and inputs.done(st, manager().keys.revoke, key.id):
        _done(f"key_{key.id}_")


def _done(state: str) -> None:
    inputs.forget(state)
    st.cache_data.clear()
    address.closed("key")
    st.rerun()


def _new(server: str) -> None:
    place = st.empty()
    with place.container(), st.form("key_new", border=False):
        places: dict[str, Any] = {}
        fields = _fields(_NONE, "key_new_", places)
        left, right = st.columns(2)
        limit = inputs.number(
            _field(places, "limit_usd", left), "Budget (USD)", "key_new_budget", (0.000001, 1e9), placeholder="none",
            format="%.2f", help="Calls are refused once it is spent.",
        )  # fmt: skip
        period = inputs.choice(right, "Budget period", "key_new_period", ("day", "week", "month"), 2)
        below = st.container()
        asked = st.form_submit_button("Create key", icon=":material/key:", type="primary", **allowed.needs("admin"))
    if not clicks.first(asked, "key", (fields, limit, period)):
        return
    try:
        allowance = Allowance(Decimal(str(limit)), period) if limit else None
        key, secret, budget = manager().issuer.issue(fields.pop("name"), allowance=allowance, **fields)
    except AimmError as error:
        inputs.refused_at(places, error, below)
        return
    inputs.forget("key_new_")
    st.cache_data.clear()
    with place.container():
        _made(key, secret, server)
        if budget is not None:
            limit_text = f"{formatting.usd(budget.limit_usd)} per {budget.period}"
            st.caption(formatting.plain(f"Limited to {limit_text} by the budget {budget.name}; see Budgets."))


def _made(key: Key, secret: str, server: str) -> None:
    st.warning(f"Copy the key of **{formatting.plain(key.name)}** now: it is shown only once.", icon=":material/key:")
    st.code(secret, language=None)
    names = [name for name in gateway.names_to_ask() if key.may_ask(name)] or list(key.models)
    st.caption("Code with the key put in:")
    for kind_tab, kind in zip(st.tabs(list(clients.BY_KIND)), clients.BY_KIND, strict=True):
        for tab, client in zip(kind_tab.tabs(clients.BY_KIND[kind]), clients.BY_KIND[kind], strict=True):
            code = snippets.snippet(client, server, names[0], secret)
            tab.code(code, language=clients.KNOWN[client].language, wrap_lines=True)


def _field(places: dict[str, Any], name: str, within: Any = st) -> Any:
    """A place for a field, below which its error stands."""
    places[name] = within.container()
    return places[name]


def _fields(key: Key, state: str, places: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a key and what they hold."""
    left, right = st.columns(2)
    name = inputs.text(
        _field(places, "[Kk]ey (needs|named)", left), "Name", f"{state}name", value=key.name, max_chars=80,
        placeholder="The program, such as ci",
    )  # fmt: skip
    scopes = inputs.choices(
        _field(places, "scopes", right), "Scopes", f"{state}scopes", SCOPES, key.scopes, help=_SCOPE_HELP
    )
    left, right = st.columns(2)
    models = inputs.choices(
        _field(places, "models", left), "Models", f"{state}models", [*gateway.names_to_ask(), *key.models], key.models,
        accept_new_options=True, placeholder="All", help="Names or patterns, such as gpt-4o* or exp:*.",
    )  # fmt: skip
    tags = inputs.choices(
        _field(places, "[Tt]ag", right), "Tags", f"{state}tags", key.tags, key.tags, accept_new_options=True,
        placeholder="None", help="Added to each of its calls, for spend and budgets by tag or owner.",
    )  # fmt: skip
    whose = _owner(key, state, places)
    row = st.columns(2)
    limits = {}
    for limit, (of_key, of_user) in _LIMITS.items():
        for column, field, text in ((row[0], limit, of_key), (row[1], f"user_{limit}", of_user)):
            limits[field] = inputs.number(
                column,
                text,
                f"{state}{field}",
                (1, 1_000_000_000 if limit == "tpm" else 1_000_000),
                getattr(key, field),
                placeholder="no limit",
            )
    row = st.columns(2)
    at = _STORED.index(key.log_content) if key.log_content in _STORED else None
    stored = inputs.choice(row[0], "Stored content", f"{state}log", _STORED, at, placeholder="server default")
    local = process.zone()
    tomorrow = datetime.now(local).date() + timedelta(days=1)
    old_end = key.expires_at.astimezone(local).date() if key.expires_at else None
    ends_on = _field(places, "expires_at", row[1]).date_input(
        "Expires on", old_end, min(tomorrow, old_end or tomorrow), key=f"{state}ends", persist_state="session",
        format="YYYY-MM-DD", help="It ends as this day begins.",
    )  # fmt: skip
    shares = inputs.switch(
        st, "Share cache with other keys", f"{state}shares", "Only with keys that share theirs too.", key.shares_cache
    )
    fields = {
        "name": name, "scopes": tuple(scopes), "models": tuple(models), "tags": tuple(tags), **limits,
        "log_content": stored, "shares_cache": shares, **whose,
    }  # fmt: skip
    return fields if ends_on == old_end else fields | {"expires_at": _end(ends_on)}


def _owner(key: Key, state: str, places: dict[str, Any]) -> dict[str, str]:
    """The inputs of whose a key is, and what they hold."""
    left, right = st.columns(2)
    owners = {each.id: each.name for each in manager().people.all() if each.is_active or each.id == key.owner}
    owner = inputs.choice(
        _field(places, "person", left), "Owner", f"{state}owner", ["", *owners], ["", *owners].index(key.owner)
        if key.owner in owners else 0, format_func=lambda person_id: owners.get(person_id, "Nobody"),
        help="It may do no more than they may, and stops when they are disabled.",
    )  # fmt: skip
    team = inputs.text(
        _field(places, "team", right), "Team", f"{state}team", value=key.team, max_chars=60, placeholder="None",
        help="Its calls are charged to the team, whose budget has the scope team:NAME.",
    )  # fmt: skip
    return {"owner": owner or "", "team": team.strip()}


def _end(day: object) -> datetime | None:
    return zones.midnight(day, process.zone()) if isinstance(day, date) else None
