"""Calls that came in over HTTP, and the keys they came with."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from core.domain.generation import Generation, Source
from core.domain.key import Key
from core.domain.metrics import Window
from dashboard import formatting, tables
from dashboard.frames import models
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
    return manager().log.latest(limit=TAIL, source=SOURCES, before=before)


@st.cache_data(ttl=5, show_spinner=False)
def key_names() -> dict[str, str]:
    return {key.id: key.name for key in manager().keys.all()}


def tail_frame(generations: Sequence[Generation]) -> pd.DataFrame:
    keys = key_names()
    return tables.frame(
        generations,
        {
            "time": lambda g: g.created_at,
            "key": lambda g: keys.get(g.key_id, g.key_id) or formatting.UNKNOWN,
            "model": lambda g: g.model,
            "status": lambda g: g.error_class or g.status,
            "first token s": lambda g: g.ttft_s,
            "latency s": lambda g: g.latency_s,
            "tokens": lambda g: g.usage.total_tokens,
            "cost": lambda g: formatting.usd(g.cost_usd) if g.cost_status != "unknown" else "unknown",
            "note": lambda g: g.note or (g.ref_name.replace(":", " ", 1)),
            "id": lambda g: g.id,
        },
    )


@st.cache_data(ttl=10, show_spinner=False)
def spend_by_key() -> dict[str, str]:
    """Spend of each key in this calendar month (UTC), by its id, with the number of unpriced calls."""
    now = datetime.now(UTC)
    month = Window(datetime(now.year, now.month, 1, tzinfo=UTC), now)
    found = {}
    for row in manager().spend.by("key", month):
        unpriced = f" + {row.n_unpriced:,} unpriced" if row.n_unpriced else ""
        found[row.value] = f"{formatting.usd(row.cost_usd)}{unpriced}"
    return found


def keys_frame(keys: Sequence[Key]) -> pd.DataFrame:
    now, spent = datetime.now(UTC), spend_by_key()
    return tables.frame(
        keys,
        {
            "id": lambda key: key.id,
            "name": lambda key: key.name,
            "key": lambda key: key.hint,
            "state": lambda key: "active" if key.is_valid_at(now) else "revoked" if key.revoked_at else "expired",
            "scopes": lambda key: ", ".join(key.scopes),
            "models": lambda key: ", ".join(key.models) or "all",
            "tags": lambda key: ", ".join(key.tags),
            "per minute": lambda key: _rates(key),
            "expires": lambda key: _moment(key.expires_at),
            "last used": lambda key: _moment(key.last_used_at),
            "month": lambda key: spent.get(key.id, formatting.usd(0)),
        },
    )


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _rates(key: Key) -> str:
    whole = f"{key.rpm:,}" if key.rpm else "no limit"
    return f"{whole}; {key.user_rpm:,} per user" if key.user_rpm else whole
