"""Deployments that were set up, each with its place, its key's end and its state; dialogs to add and change them."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from core import AimmError
from core.domain.vendors.deployment import MAX_PRIORITY, MAX_REST_S, MAX_WEIGHT, Deployment, DeploymentState
from core.vendors import DEPLOYMENT_KINDS
from dashboard import address, formatting, process
from dashboard.components import clicks, inputs, managed
from dashboard.frames import models
from dashboard.process import manager
from dashboard.visitors import allowed

NEW = "new"
_HELP = (
    "Keys that are set up here are encrypted in the database and in use everywhere within a second. Several deployments"
    " of one vendor share its calls."
)
_MODELS_HELP = "One per line: the model, and after = its name there. None: all of its vendor's by their own names."


def show() -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader("Deployments", help=_HELP, anchor=False)
    row.space("stretch")
    if row.button("Add key", icon=":material/add:", key="deployment_add", **allowed.needs("admin")):
        address.put("deployment", NEW)
    managed.note("vendors")
    states = manager().deployments.all()
    with st.container(border=True):
        if not states:
            st.caption("None. Add a vendor's key here, or another region, key or cloud for the models of one.")
        for state in states:
            _row(state)
    _dialog()


def _row(state: DeploymentState) -> None:
    told = state.deployment
    line = st.container(horizontal=True, vertical_alignment="center", gap="small")
    line.markdown(f"**{formatting.plain(told.name)}**", width="content")
    line.markdown(_badge(state), width="content")
    line.space("stretch")
    if line.button(f"Open {told.name}", key=f"deployment_{told.name}"):
        address.put("deployment", told.name)
    share = f"priority {told.priority} · weight {told.weight}"
    label = DEPLOYMENT_KINDS[told.kind].label
    st.caption(formatting.plain(f"{label} · {told.host} · {told.hint or 'no key'} · {share}"))
    if state.problem:
        st.error(formatting.plain(state.problem), icon=":material/key_off:")


def _badge(state: DeploymentState) -> str:
    if state.problem:
        return ":red-badge[Not in use]"
    if not state.deployment.is_enabled:
        return ":gray-badge[Off]"
    resting = [model for name, model in manager().breakers.states() if name == state.deployment.name]
    return f":orange-badge[Resting: {formatting.plain(', '.join(resting))}]" if resting else ":green-badge[In use]"


def _dialog() -> None:
    name = address.value("deployment")
    if name is None:
        return
    if name == NEW:
        address.window("deployment", "Add key")(_new)()
        return
    state = next((each for each in manager().deployments.all() if each.deployment.name == name), None)
    if state is None:
        address.missing("deployment", "deployment")
    else:
        address.window("deployment", f"Deployment {formatting.plain(name)}")(_one)(state)


def _new() -> None:
    kinds = list(DEPLOYMENT_KINDS)
    kind = inputs.choice(
        st, "Kind", "deployment_new_kind", kinds, format_func=lambda each: DEPLOYMENT_KINDS[each].label
    )
    spec = DEPLOYMENT_KINDS[kind]
    with st.form("deployment_new", border=False):
        places: dict[str, Any] = {}
        left, right = st.columns(2)
        name = inputs.text(
            _field(places, "name", left), "Name", f"deployment_new_name_{kind}", value=kind, max_chars=31,
            help="Calls, budgets and prices name it. One of a vendor's name takes the place of the environment's key.",
        )  # fmt: skip
        fields: dict[str, Any] = {}
        if not spec.vendor or kind in ("azure", "bedrock"):
            fields["vendor"] = inputs.text(
                _field(places, "vendor", right), "Answers models of", "deployment_new_vendor",
                value=spec.vendor, placeholder="Its own name", help="The vendor whose calls it shares.",
            )  # fmt: skip
        fields |= _place(kind, places)
        # Never kept in the session: it is a secret.
        key = _field(places, "key").text_input(spec.key, type="password", key="deployment_new_key", autocomplete="off")
        fields |= _fields(_NONE, "deployment_new_", places)
        below = st.container()
        keep = st.checkbox("Keep it although it does not work", key="deployment_new_untested")
        asked = st.form_submit_button("Test and add", icon=":material/key:", type="primary", **allowed.needs("admin"))
    if clicks.first(asked, "deployment", (name, kind, len(key or ""), repr(fields))):
        given = {field: value for field, value in fields.items() if value not in ("", None)}
        try:
            _add(name, kind, key or "", given, tests=not keep)
        except AimmError as error:
            inputs.refused_at(places, error, below)
        else:
            _done("deployment_new_")


def _add(name: str, kind: str, key: str, fields: dict[str, Any], *, tests: bool) -> None:
    """Raises: AimmError: It does not work, or cannot be kept."""
    service = manager().deployments
    if tests:
        with process.aside(), st.spinner("Asking the vendor …"):
            service.require(service.test_new(name, kind, key, **fields))
    service.add(name, kind, key, **fields)


def _place(kind: str, places: dict[str, Any]) -> dict[str, str]:
    """The inputs of the address of a kind."""
    spec = DEPLOYMENT_KINDS[kind]
    left, right = st.columns(2)
    fields = {}
    for part, column in (("region", left), ("project", right)):
        if f"{{{part}}}" in spec.url:
            fields[part] = inputs.text(
                _field(places, part, column), part.capitalize(), f"deployment_new_{part}",
                help="Leave both empty for an API key of Vertex AI alone." if kind == "vertex" else None,
            )  # fmt: skip
    fields["url"] = inputs.text(
        _field(places, "url|address"), "Address", "deployment_new_url", placeholder=spec.example or spec.url
    )
    if kind == "azure":
        fields["api_version"] = inputs.text(
            _field(places, "api_version"), "API version", "deployment_new_version", placeholder="none: /openai/v1",
            help="Only for the dated addresses, such as 2024-10-21.",
        )  # fmt: skip
    return fields


def _fields(old: Deployment, state: str, places: dict[str, Any]) -> dict[str, Any]:
    """The inputs of what all kinds have."""
    lines = "\n".join(model if model == there else f"{model}={there}" for model, there in old.models.items())
    text = _field(places, "models").text_area("Models", lines, key=f"{state}models", height=90, help=_MODELS_HELP)
    columns = st.columns(3)
    bounds = (
        ("weight", "Weight", (0, MAX_WEIGHT), "Its share of the calls among those of its priority; 0 takes none."),
        ("priority", "Priority", (1, MAX_PRIORITY), "The lowest number is asked first."),
        ("rest_s", "Rest (s)", (0, MAX_REST_S), "How long it rests at least once it is limited or down."),
    )
    found = {
        name: inputs.number(
            _field(places, name, column), label, f"{state}{name}", limits, getattr(old, name), help=told
        )
        for column, (name, label, limits, told) in zip(columns, bounds, strict=True)
    }
    private = inputs.switch(
        st, "Allow a private address", f"{state}private", "Of this machine or a private network, also by http.",
        old.is_private,
    )  # fmt: skip
    return {**found, "models": models_in(text or ""), "is_private": private}


def models_in(text: str) -> dict[str, str]:
    """Model -> its name there, of lines."""
    pairs = (line.partition("=") for line in text.splitlines() if line.strip())
    return {model.strip(): there.strip() or model.strip() for model, _, there in pairs}


def _one(state: DeploymentState) -> None:
    told = state.deployment
    place = told.url.rpartition("://")[2]
    facts = (DEPLOYMENT_KINDS[told.kind].label, f"answers models of {told.vendor}", place, f"key {told.hint or 'none'}")
    st.caption(formatting.plain(f"{' · '.join(facts)} · set {formatting.when(told.rotated_at)}"))
    st.page_link("pages/log.py", label="Calls of this deployment", icon=":material/list:",
                 query_params={"log_deployment": told.name})  # fmt: skip
    if st.button("Test", icon=":material/network_check:", key="deployment_test", **allowed.needs("editor")):
        _test(told.name)
    _rotate(told)
    st.divider()
    _change(told)
    st.divider()
    _remove(told)


def _test(name: str) -> None:
    with process.aside(), st.spinner("Asking the vendor …"):
        check = manager().deployments.test(name)
    if check.works:
        st.success(formatting.plain(check.message), icon=":material/check_circle:")
    else:
        title = models.TITLES.get(check.status, "Not working")
        st.error(f"**{title}.** {formatting.plain(check.message)}", icon=":material/error:")


def _rotate(told: Deployment) -> None:
    with st.form("deployment_rotate", border=False, clear_on_submit=True):
        key = st.text_input("Another key", type="password", key="deployment_rotate_key", autocomplete="off")
        below = st.container()
        asked = st.form_submit_button("Test and rotate", icon=":material/autorenew:", **allowed.needs("admin"))
    if not asked:
        return
    service = manager().deployments
    try:
        with process.aside(), st.spinner("Asking the vendor …"):
            service.require(service.test_key(told.name, key or ""))
        service.rotate(told.name, key or "")
    except AimmError as error:
        inputs.refused(below, error)
    else:
        _done("deployment_rotate_")


def _change(told: Deployment) -> None:
    state = f"deployment_{told.name}_{told.revision}_"
    with st.form(f"{state}form", border=False):
        places: dict[str, Any] = {}
        fields = _fields(told, state, places)
        is_enabled = inputs.switch(st, "In use", f"{state}on", "Off: kept, and asked by nobody.", told.is_enabled)
        below = st.container()
        asked = st.form_submit_button("Save", icon=":material/save:", type="primary", **allowed.needs("admin"))
    if not asked:
        return
    try:
        manager().deployments.change(told.name, **fields, is_enabled=is_enabled)
    except AimmError as error:
        inputs.refused_at(places, error, below)
    else:
        _done(state)


def _remove(told: Deployment) -> None:
    name = formatting.plain(told.name)
    sure = st.checkbox(f"Forget **{name}** and its key. Calls under way are still answered.", key="deployment_sure")
    asked = st.button(
        f"Remove {name}", icon=":material/delete:", key="deployment_remove", **allowed.needs("admin", disabled=not sure)
    )
    if clicks.first(asked, "deployment_remove", told.name) and inputs.done(st, manager().deployments.remove, told.name):
        _done(f"deployment_{told.name}_")


def _field(places: dict[str, Any], name: str, within: Any = st) -> Any:
    """A place for a field, below which its error stands."""
    places[name] = within.container()
    return places[name]


def _done(state: str) -> None:
    inputs.forget(state)
    st.cache_data.clear()
    address.closed("deployment")
    st.rerun()


_NOW = datetime.now(UTC)
_NONE = Deployment(name="", vendor="", kind="openai", url="", created_at=_NOW, rotated_at=_NOW)
