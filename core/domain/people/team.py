"""A team with the limits that all its keys and people have together."""

from dataclasses import dataclass
from typing import Any

from core.errors import InvalidRequest

MAX_LIMIT, MAX_TOKENS = 1_000_000, 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team, as keys and people name it.

    rpm, tpm, max_parallel: Requests a minute, tokens a minute (input and output), and calls at the same time, of all
        its keys and people together. None = no limit.
    """

    name: str
    rpm: int | None = None
    tpm: int | None = None
    max_parallel: int | None = None

    @property
    def has_limits(self) -> bool:
        return any((self.rpm, self.tpm, self.max_parallel))


def check_limit(name: str, given: Any) -> None:
    """Refuse a limit, of a team as of a key, that cannot be; None = no limit. Raises: InvalidRequest"""
    most = MAX_TOKENS if name.endswith("tpm") else MAX_LIMIT
    if given is not None and not (type(given) is int and 1 <= given <= most):
        raise InvalidRequest(f"{name} == {given!r}, must be a whole number from 1 to {most:,}, or left out", param=name)
