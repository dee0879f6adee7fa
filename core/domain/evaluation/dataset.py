"""A dataset: a name with immutable versions, each an ordered list of rows."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.formats import strict_json as json


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One case.

    id: The SHA-256 of its content, 16 hex digits; a second row of the same content in a version ends in `-2`.
    variables: What fills the prompt's `{{variables}}`; always data, never a template.
    messages: The turns to ask, `{"role": …, "content": …}` as OpenAI writes them, where the row brings its own.
    expected: The answer that is hoped for; checks may refer to it as `{{expected}}`. None = none is stated.
    checks: Checks of this row alone, each as in a file of tests: `{"type": …, "value": …}`.
    threshold: The score from which the row passes; None = every check must pass.
    metadata: Further columns, which are kept and not sent.
    source: JSON of what its content does not give back of the record that it was read from; no part of the content.
    """

    id: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, Any], ...] = ()
    expected: Any = None
    checks: tuple[Mapping[str, Any], ...] = ()
    threshold: float | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    @property
    def has_check(self) -> bool:
        """True where it states anything that an answer can be held against."""
        return can_fail(self.checks, self.threshold) or self.expected not in (None, "")

    @classmethod
    def of(cls, value: Mapping[str, Any], **others: Any) -> "DatasetRow":
        """A row of what `as_dict` gives. others: Further fields. Raises: TypeError, ValueError: It is none."""
        lists = {name: tuple(value[name]) for name in ("messages", "checks", "tags") if name in value}
        return cls(**({**value} | lists | others))

    def as_dict(self) -> dict[str, Any]:
        """Its content, ready for JSON; what is empty is left out."""
        found: dict[str, Any] = {
            "variables": dict(self.variables),
            "messages": [dict(each) for each in self.messages],
            "expected": self.expected,
            "checks": [dict(each) for each in self.checks],
            "threshold": self.threshold,
            "description": self.description,
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
        }
        return {name: value for name, value in found.items() if value not in (None, "", [], {})}

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]


def can_fail(checks: Iterable[Mapping[str, Any]], threshold: float | None = None) -> bool:
    """True where checks can fail an answer: not those of weight 0, and none where a score of 0 is enough."""
    if isinstance(threshold, int | float) and threshold <= 0:
        return False
    return any(
        check.get("weight") != 0
        and (check.get("type") != "assert-set" or can_fail(check.get("assert") or (), check.get("threshold")))
        for check in checks
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """One version of a dataset. number: From 1. digest: Of the ids of its rows, in order.

    n_without_checks: Rows that state neither checks that can fail nor an expected answer.
    columns: The names of its variables, in the order in which they came.
    origin: Where its rows came from: a file's name, `log`, `run ID`.
    layout: The form in which they came, for export; empty = none in particular.
    """

    dataset: str
    number: int
    digest: str
    n_rows: int
    created_at: datetime
    n_without_checks: int = 0
    columns: tuple[str, ...] = ()
    note: str = ""
    author: str = ""
    origin: str = ""
    layout: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        return f"{self.dataset}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset as lists show it."""

    name: str
    created_at: datetime
    n_versions: int
    newest: DatasetVersion
