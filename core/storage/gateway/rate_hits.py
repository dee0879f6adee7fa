"""Requests counted against a limit by several processes: exact, because counting and adding are one transaction."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, text

from core.storage.gateway.schema import rate_hits

WINDOW_US = 60_000_000


class Hit(NamedTuple):
    """A request at a moment against limits a minute: (name, limit) each; it counts against all or none."""

    at_us: int
    limits: tuple[tuple[str, int], ...]


def take(connection: Connection, hits: Sequence[Hit]) -> list[tuple[str, int] | None]:
    """For each: None = it is within its limits and counted; else (whose limit, microseconds until there is room)."""
    if connection.dialect.name != "sqlite":
        for name in sorted({name for hit in hits for name, _ in hit.limits}):
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7264))"), {"name": name})
    return [_take(connection, hit) for hit in hits]


def _take(connection: Connection, hit: Hit) -> tuple[str, int] | None:
    c = rate_hits.c
    since = hit.at_us - WINDOW_US
    for name, limit in hit.limits:
        n = connection.execute(select(func.count()).where(c.name == name, c.at > since)).scalar_one()
        if n >= limit:
            oldest = select(c.at).where(c.name == name, c.at > since).order_by(c.at).offset(n - limit).limit(1)
            return name, connection.execute(oldest).scalar_one() + WINDOW_US - hit.at_us
    for name, _ in hit.limits:
        connection.execute(delete(rate_hits).where(c.name == name, c.at <= since))
        connection.execute(insert(rate_hits).values(id=secrets.token_hex(12), name=name, at=hit.at_us))
    return None
