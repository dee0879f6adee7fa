"""Prompts, their versions, and what became of their labels."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import pandas as pd

from core.domain.evaluation.prompt import LIVE, LabelMove, Prompt, PromptVersion
from core.prompts.rendering import variables_of
from dashboard import formatting, tables


def listed(found: Sequence[Prompt], live_since: Mapping[str, datetime]) -> pd.DataFrame:
    """A row a prompt. live_since: Since when the live version is it, by prompt."""

    def live(prompt: Prompt) -> str | None:
        number = prompt.labels.get(LIVE)
        return (
            None
            if number is None
            else f"version {number} since {formatting.at(live_since[prompt.name], '%-d %b %H:%M')}"
        )

    return tables.frame(
        found,
        {
            "name": lambda prompt: prompt.name,
            "live": live,
            "labels": lambda prompt: [f"{name} {number}" for name, number in prompt.labels.items() if name != LIVE],
            "versions": lambda prompt: prompt.n_versions,
            "text": lambda prompt: formatting.short(prompt.newest.content.messages[-1].text, 46),
            "variables": lambda prompt: ", ".join(variables_of(prompt.newest.content)),
            "model": lambda prompt: prompt.newest.content.model or None,
            "changed": lambda prompt: prompt.newest.created_at,
        },
    )


def versions(found: Sequence[PromptVersion]) -> pd.DataFrame:
    """A row a version."""
    return tables.frame(
        found,
        {
            "version": lambda version: version.number,
            "labels": lambda version: list(version.labels),
            "note": lambda version: formatting.short(version.note, 24) or None,
            "author": lambda version: version.author or None,
            "saved": lambda version: version.created_at,
        },
    )


def moves(found: Sequence[LabelMove]) -> pd.DataFrame:
    """A row a move of a label."""
    return tables.frame(
        found,
        {
            "time": lambda move: move.moved_at,
            "label": lambda move: move.label,
            "from": lambda move: move.was,
            "to": lambda move: move.number,
            "author": lambda move: move.author or None,
            "run": lambda move: move.run_id or None,
        },
    )
