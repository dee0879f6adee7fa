"""The changes on record, and by whom they were made."""

from collections.abc import Mapping, Sequence

import pandas as pd

from core.domain.people.entry import AuditEntry, said
from core.domain.people.person import Person
from dashboard import formatting, tables

ROLE_HELP = (
    "A viewer looks. An editor also asks models and changes prompts, datasets, workflows, experiments and aliases."
    " An admin also changes budgets, keys, prices and people."
)
DOORS = {"page": "page", "api": "API", "cli": "command line", "python": "program", "system": "system"}


def entries(found: Sequence[AuditEntry]) -> pd.DataFrame:
    return tables.frame(
        found,
        {
            "time": lambda entry: entry.created_at,
            "what": lambda entry: entry.text,
            "who": lambda entry: entry.actor or formatting.UNKNOWN,
            "role": lambda entry: entry.role or formatting.UNKNOWN,
            "from": lambda entry: came_from(entry) or formatting.UNKNOWN,
            "outcome": lambda entry: entry.outcome,
        },
    )


def persons(found: Sequence[Person]) -> pd.DataFrame:
    return tables.frame(
        found,
        {
            "name": lambda person: person.name,
            "role": lambda person: person.role,
            "team": lambda person: person.team or formatting.UNKNOWN,
            "logs in by": lambda person: "password" if person.password is not None else "identity provider",
            "state": lambda person: "active" if person.is_active else "disabled",
            "last login": lambda person: person.last_login_at,
        },
    )


def came_from(entry: AuditEntry) -> str:
    """The door and the address by which somebody came."""
    return " ".join(filter(None, (DOORS.get(entry.door, entry.door), entry.address)))


def fields(entry: AuditEntry) -> list[tuple[str, str, str]]:
    """Each field with what it was and what it is, as people read them."""
    before, after = _flat(entry.before or {}), _flat(entry.after or {})
    return [
        (name.removesuffix("_usd").replace("_", " "), _said(name, before), _said(name, after))
        for name in dict.fromkeys((*before, *after))
    ]


def _said(name: str, values: dict[str, object]) -> str:
    return said(name, values[name]) if name in values else formatting.UNKNOWN


def _flat(values: Mapping[str, object], before: str = "") -> dict[str, object]:
    """The fields, those inside of others by both names; what is empty inside of them is left out."""
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{name} ")
        elif not before or value not in (None, "", []):
            found[f"{before}{name}"] = value
    return found
