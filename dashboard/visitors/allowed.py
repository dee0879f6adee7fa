"""Inputs of what a visitor's role does not cover: shown, switched off, and saying why. The core refuses it anyway."""

from typing import Any

from core import acting
from core.domain.people.actor import Role


def may(role: Role) -> bool:
    return acting.current().may(role)


def needs(role: Role, help_text: str = "", *, disabled: bool = False) -> dict[str, Any]:
    """The options `disabled` and `help` of a button or another input of something that needs a role."""
    if may(role):
        return {"disabled": disabled, "help": help_text or None}
    return {"disabled": True, "help": why_not(role)}


def why_not(role: Role) -> str:
    return f"This needs the role {role}; yours is {acting.current().role}. Ask an admin."
