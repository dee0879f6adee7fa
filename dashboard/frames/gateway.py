"""Calls that came in over HTTP, and the keys they came with."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from core import SpendOf
from core.domain.budget import BudgetStatus
from core.domain.generation import Generation, Source
from core.domain.key import Key
from core.domain.metrics import Window
from core.domain.people.person import Person
from core.domain.people.team import Team
from dashboard import formatting, tables
from dashboard.frames import log, models
from dashboard.process import manager

SOURCES: tuple[Source, ...] = ("api", "experiment")
TAIL = 50


@st.cache_data(ttl=5, show_spinner=False)
def names_to_ask() -> list[str]:
    """Names a program can give as its model, the default first: models, aliases, running experiments."""
    mm = manager()
    running = [f"exp:{e.name}" for e in mm.experiments.all(demo=False) if e.status == "running"]
    return list(dict.fromkeys([mm.models.default(), *models.names_to_ask(), *running]))


@st.cache_data(ttl=5, show_spinner=False)
def recent() -> tuple[int, datetime]:
    """Calls by programs in the last one to two whole hours, and since when."""
    window = manager().monitoring.window(days=1 / 24)
    return manager().monitoring.n_calls(window, SOURCES), window.since


def tail(before: datetime | None) -> list[Generation]:
    """The newest calls by programs; before a moment, if one is given."""
    return manager().log.latest(limit=TAIL, source=SOURCES, until=before)


@st.cache_data(ttl=10, show_spinner=False)
def spend_by_key() -> tuple[dict[str, SpendOf], dict[str, SpendOf]]:
    """Spend of each key by its id: today, and in this calendar month (UTC)."""
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first, second = (
        {row.value: row for row in manager().spend.by("key", Window(since, now))}
        for since in (today, today.replace(day=1))
    )
    return first, second


def budgets_by_key() -> dict[str, BudgetStatus]:
    """Of each key whose calls count in budgets of its own or of its tags, by its id, the one of which most is spent."""
    found, keys = sorted(manager().budgets.statuses(), key=lambda each: each.share_spent), manager().keys.all()
    return {
        key.id: each
        for each in found
        for key in keys
        if each.budget.scope in {f"key:{key.id}", *(f"tag:{tag}" for tag in key.tags)}
    }


def spent(found: SpendOf | None) -> str:
    """Known cost as text; unknown where no call has a price."""
    return (
        formatting.usd(0) if found is None else "unknown" if found.cost_usd is None else formatting.usd(found.cost_usd)
    )


def state(key: Key) -> str:
    if key.is_valid_at(datetime.now(UTC)):
        return "Active"
    return "Revoked" if key.revoked_at else "Owner disabled" if key.has_lost_owner else "Expired"


def keys_frame(keys: Sequence[Key]) -> pd.DataFrame:
    today, month = spend_by_key()
    of, labels = budgets_by_key(), log.key_labels()
    return tables.frame(
        keys,
        {
            "name": lambda key: formatting.short(labels.get(key.id, key.name), 27),
            "state": lambda key: [state(key)],
            "last used": lambda key: key.last_used_at,
            "tags": lambda key: formatting.short(", ".join(key.tags), 14),
            "models": lambda key: formatting.short(", ".join(key.models), 11) or "All",
            "limits": lambda key: rates(key),
            "expires": lambda key: key.expires_at,
            "budget": lambda key: of[key.id].share_spent if key.id in of else None,
            "calls": lambda key: month[key.id].n if key.id in month else 0,
            "unpriced": lambda key: month[key.id].n_unpriced if key.id in month else 0,
            "today": lambda key: spent(today.get(key.id)),
            "month": lambda key: spent(month.get(key.id)),
        },
    )


def rates(key: Key) -> str:
    """60/min, 20/min per user; a dash where there is no limit."""
    limits = (
        ("{:,}/min", key.rpm), ("{:,}/min per user", key.user_rpm), ("{:,} tokens/min", key.tpm),
        ("{:,} tokens/min per user", key.user_tpm), ("{:,} at once", key.max_parallel),
        ("{:,} at once per user", key.user_max_parallel),
    )  # fmt: skip
    parts = [words.format(most) for words, most in limits if most]
    return ", ".join(parts) or formatting.UNKNOWN


def teams_frame(teams: Sequence[Team], keys: Sequence[Key], people: Sequence[Person]) -> pd.DataFrame:
    return tables.frame(
        teams,
        {
            "team": lambda team: team.name,
            "keys": lambda team: sum(key.team == team.name and key.revoked_at is None for key in keys),
            "people": lambda team: sum(each.team == team.name and each.is_active for each in people),
            "requests a minute": lambda team: team.rpm,
            "tokens a minute": lambda team: team.tpm,
            "calls at once": lambda team: team.max_parallel,
        },
    )
