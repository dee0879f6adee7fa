"""The checks that answers are held to while one tries a prompt: the same as those of evaluations."""

from functools import lru_cache
from typing import Any

import streamlit as st

from core import InvalidRequest
from core.checks import grade_call, validate
from core.domain.generation import Generation
from core.formats import yaml_text
from dashboard import formatting

KEY = "play_checks"
_HELP = "Each answer is held to them: a list, one check a line. The same checks work in evaluations and workflow steps."


@lru_cache(maxsize=64)
def parsed(text: str) -> tuple[dict[str, Any], ...]:
    """The checks that were typed. Raises: InvalidRequest: Why they cannot be used."""
    found = yaml_text.typed(yaml_text.read(text)) if text.strip() else []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidRequest("They are a list, such as: - {type: contains, value: yes}")
    if problems := validate({"assert": found}, has_judge=False, has_embeddings=False):
        raise InvalidRequest("; ".join(problems[:3]))
    return tuple(found)


def field() -> None:
    """Draw the field, and what is wrong with what is typed in it."""
    text = st.text_area(
        "Checks", key=KEY, height=80, placeholder="- {type: contains, value: yes}", help=_HELP, persist_state="session"
    )
    try:
        parsed(text or "")
    except InvalidRequest as error:
        st.error(formatting.plain(f"Checks: {error.text}"), icon=":material/error:")


def verdict(g: Generation) -> None:
    """Say of each check whether an answer passes it, and why not."""
    try:
        checks = parsed(st.session_state.get(KEY) or "")
    except InvalidRequest:  # the field says so
        return
    if not checks or not g.text:
        return
    found = grade_call({"assert": checks}, g)
    row = st.container(horizontal=True, gap="xxsmall", key=f"checks_{g.id}")
    for each in found.components:
        name, tip = formatting.plain(each.type or "set"), each.reason
        if each.is_error:
            row.badge(name, icon=":material/error:", color="orange", help=tip)
        elif each.passed:
            row.badge(name, icon=":material/check:", color="green", help=tip)
        else:
            row.badge(name, icon=":material/close:", color="red", help=tip)
