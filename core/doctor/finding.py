"""One thing that was looked at: how it is, and what to do. Pure."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """level: A fault keeps the product from working or may lose records; a warning will, or costs something."""

    area: str
    level: Level
    found: str
    todo: str = ""


def ok(area: str, found: str) -> Finding:
    return Finding(area, "ok", found)


def note(area: str, found: str, todo: str = "") -> Finding:
    return Finding(area, "note", found, todo)


def warning(area: str, found: str, todo: str) -> Finding:
    return Finding(area, "warning", found, todo)


def fault(area: str, found: str, todo: str) -> Finding:
    return Finding(area, "fault", found, todo)
