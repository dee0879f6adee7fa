"""All sums of a database against the raw rows that they are of."""

from core import ModelManager


def differences(mm: ModelManager) -> list[str]:
    """The differences in words; empty = there is none. Reads everything."""
    return mm.monitoring.differences() + mm.budgets.differences() + mm.experiments.differences()
