"""Teams: the limits that all keys and people of one have together, and the dialog that changes them."""

from typing import Any

import streamlit as st

from core import AimmError
from core.domain.people.team import MAX_LIMIT, MAX_TOKENS, Team
from dashboard import address, formatting, tables
from dashboard.components import clicks, inputs
from dashboard.frames import gateway
from dashboard.process import manager
from dashboard.visitors import allowed

_LIMITS = {
    "rpm": ("Requests per minute", MAX_LIMIT),
    "tpm": ("Tokens per minute", MAX_TOKENS),
    "max_parallel": ("Calls at the same time", MAX_LIMIT),
}


def show() -> None:
    """The teams, where a key or a person names one."""
    if not (teams := manager().teams.all()):
        return
    st.subheader(
        "Teams", help="A team is named by its keys and people. Its limits hold for all of them together.", anchor=False
    )
    frame = gateway.teams_frame(teams, manager().keys.all(), manager().people.all())
    at = tables.opened(frame, "gateway_teams", [team.name for team in teams])
    if at is not None:
        address.put("team", at)


def dialog() -> None:
    """The dialog of the team that the address names."""
    if (name := address.value("team")) is None:
        return
    if name in {team.name for team in manager().teams.all()}:
        address.window("team", f"Team {formatting.plain(name)}")(_one)(manager().teams.get(name))
    else:
        address.missing("team", "team")


def _one(team: Team) -> None:
    state = f"team_{team.name}_{hash(team) & 0xFFFF}_"  # what was typed for earlier limits is no longer meant
    with st.form(f"{state}form", border=False):
        given: dict[str, Any] = {}
        for place, (field, (label, most)) in zip(st.columns(3), _LIMITS.items(), strict=True):
            given[field] = inputs.number(
                place, label, f"{state}{field}", (1, most), getattr(team, field), placeholder="no limit"
            )
        below = st.container()
        saved = st.form_submit_button("Save", icon=":material/save:", type="primary", **allowed.needs("admin"))
    if clicks.first(saved, "team", (team.name, *given.values())):
        try:
            manager().teams.set(team.name, **given)
        except AimmError as error:
            inputs.refused(below, error)
        else:
            inputs.forget(state)
            address.closed("team")
            st.rerun()
