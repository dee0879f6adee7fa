"""People as a table, a new one, and the drawer in which one is changed."""

import streamlit as st

from core import AimmError, NotFound
from core.domain.people.actor import ROLES, Role
from core.domain.people.person import Person
from dashboard import address, formatting, tables
from dashboard.components import clicks, inputs
from dashboard.frames import people
from dashboard.process import manager


def show() -> None:
    found = manager().people.all()
    if not found:
        st.info(
            "There is nobody yet: whoever reaches these pages may do everything. Make an admin first; from then on"
            " pages ask who looks at them, and programs need a key.",
            icon=":material/group:",
        )
        return
    config = {"last login": st.column_config.DatetimeColumn("Last login", format="YYYY-MM-DD HH:mm")}
    at = tables.opened(people.persons(found), "people_table", [each.id for each in found], column_config=config)
    if at is not None:
        address.put("person", at)


def open_new() -> None:
    address.put("person", "new")


def dialog() -> None:
    """Open the drawer where the address names a person, or asks for a new one."""
    person_id = address.value("person")
    if person_id is None:
        return
    if person_id == "new":
        address.window("person", "New person")(_new)()
        return
    try:
        found = manager().people.get(person_id)
    except NotFound:
        address.missing("person", "person")
        return
    address.window("person", found.name)(_inside)(found)


def _new() -> None:
    with st.form("person_new", border=False):
        name = inputs.text(st, "Name", "person_new_name", max_chars=160, placeholder="ada, or ada@example.com")
        password = st.text_input("Password", type="password", key="person_new_password", autocomplete="new-password")
        left, right = st.columns(2)
        role: Role = inputs.choice(left, "Role", "person_new_role", ROLES, 0, help=people.ROLE_HELP)
        team = inputs.text(right, "Team", "person_new_team", max_chars=60, placeholder="none")
        asked = st.form_submit_button("Add person", type="primary", icon=":material/person_add:")
    if clicks.first(asked, "person", (name, role, team)) and inputs.done(
        st, manager().people.add, name, password, role=role, team=team
    ):
        _done("person_new_")


def _inside(person: Person) -> None:
    is_own = person.password is not None
    told = [person.role, f"team {person.team}" if person.team else "", "" if is_own else "by the identity provider"]
    st.caption(formatting.plain(" · ".join(filter(None, [*told, "" if person.is_active else "disabled"]))))
    state = f"person_{person.id}_"
    with st.form(f"{state}form", border=False):
        left, right = st.columns(2)
        role: Role = inputs.choice(
            left, "Role", f"{state}role", ROLES, ROLES.index(person.role), disabled=not is_own,
            help=people.ROLE_HELP if is_own else "It comes from the identity provider: AIMM_ADMINS, AIMM_EDITORS …",
        )  # fmt: skip
        team = inputs.text(right, "Team", f"{state}team", value=person.team, max_chars=60)
        saved = st.form_submit_button("Save", type="primary", icon=":material/save:")
    if clicks.first(saved, "person", (person.id, role, team)):
        try:
            manager().people.change(person.id, role=role if role != person.role else None, team=team)
        except AimmError as error:
            inputs.refused(st, error)
        else:
            _done(state)
    keys = [key.name for key in manager().keys.all() if key.owner == person.id and key.revoked_at is None]
    if person.is_active:
        also = f" Their keys stop too: {formatting.plain(', '.join(keys))}." if keys else ""
        st.caption(f"Disabled, {formatting.plain(person.name)} is logged out everywhere within a second.{also}")
        _button("Disable", "block", person, state)
    else:
        _button("Enable", "check_circle", person, state)


def _button(label: str, icon: str, person: Person, state: str) -> None:
    deed = manager().people.disable if label == "Disable" else manager().people.enable
    asked = st.button(label, icon=f":material/{icon}:", key=f"{state}{label}")
    if clicks.first(asked, label, person.id) and inputs.done(st, deed, person.id):
        _done(state)


def _done(state: str) -> None:
    inputs.forget(state)
    address.closed("person")
    st.rerun()
