"""Families of models, as families.yaml has them: what they take, where their vendor's list does not say so."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml


class Family(NamedTuple):
    """One row of the file.

    accepts: Names of Parameters.
    thinking: adaptive (as much as the model likes, by effort), budget (in tokens) or none.
    forces_tools: Whether a call of a tool can be asked for.
    """

    accepts: frozenset[str]
    thinking: str
    forces_tools: bool


@cache
def _rows() -> list[tuple[str, re.Pattern[str], Family]]:
    rows = yaml.safe_load((Path(__file__).parent / "families.yaml").read_text(encoding="utf-8"))
    return [
        (
            row["vendor"],
            re.compile(row["models"]),
            Family(frozenset(row["accepts"].split()), row["thinking"], row.get("forces_tools", True)),
        )
        for row in rows
    ]


@cache
def family_of(vendor: str, model: str) -> Family:
    """The family of a model. Raises: LookupError: The file has no row for the vendor."""
    return next(family for name, pattern, family in _rows() if name == vendor and pattern.match(model))
