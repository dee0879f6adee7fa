"""The choices of a new evaluation, and its likely cost."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pandas as pd

from core.evaluation.requests import CostRange
from core.formats import strict_json as json
from dashboard.process import manager

MOST_VERSIONS = 20  # of a prompt that the form offers


def value_text(value: object) -> str:
    """A check's value as the table shows it: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def checks_table(checks: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """A row a check of a plan."""
    rows = [
        {
            "type": str(each.get("type", "")),
            "value": "" if (value := each.get("value")) is None else value_text(value),
            "threshold": each.get("threshold"),
            "metric": str(each.get("metric") or ""),
        }
        for each in checks
    ]
    return pd.DataFrame(rows).astype({"threshold": float})


def datasets() -> dict[str, str]:
    """The newest version of each dataset, in words, by its reference."""
    return {
        each.newest.ref: f"{each.newest.ref} · {each.newest.n_rows:,} items"
        + (f", {each.newest.n_without_checks:,} without checks" if each.newest.n_without_checks else "")
        for each in manager().datasets.all()
    }


def prompt_refs() -> dict[str, str]:
    """Each version of each prompt, in words, by its reference; those that labels point at come first."""
    found: dict[str, str] = {}
    for prompt in manager().prompts.all():
        for label, number in prompt.labels.items():
            ref = f"{prompt.name}@{number}"
            found[ref] = f"{found[ref]}, {label}" if ref in found else f"{ref} · {label}"
        for number in range(prompt.n_versions, max(0, prompt.n_versions - MOST_VERSIONS), -1):
            found.setdefault(f"{prompt.name}@{number}", f"{prompt.name}@{number}")
    return found


def baselines() -> list[str]:
    return [each.name for each in manager().evaluations.verdicts.baselines()]


def totals(ranges: Sequence[CostRange]) -> list[Decimal | None]:
    """The sums of low, expected and high; None where a model has no price."""
    return [_total([getattr(each, name) for each in ranges]) for name in ("low_usd", "expected_usd", "high_usd")]


def _total(amounts: Sequence[Decimal | None]) -> Decimal | None:
    known = [each for each in amounts if each is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
