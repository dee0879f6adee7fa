"""P values of several comparisons, corrected together. Pure."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: their family's chance of any false claim stays below the level.

    Raises:
        ValueError: A p value is not in [0, 1].

    Source: Holm (1979), Scand. J. Statist. 6, 65-70.
    """
    adjusted = [0.0] * len(p_values)
    running, m = 0.0, len(p_values)
    for rank, index in enumerate(_order(p_values)):
        running = max(running, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that control the share of false claims among all claims.

    For exploring only: a gate uses `holm`.

    Raises:
        ValueError: A p value is not in [0, 1].

    Source: Benjamini & Hochberg (1995), J. R. Statist. Soc. B 57, 289-300.
    """
    adjusted = [0.0] * len(p_values)
    running, m = 1.0, len(p_values)
    for rank, index in reversed(list(enumerate(_order(p_values), 1))):
        running = min(running, p_values[index] * m / rank)
        adjusted[index] = running
    return adjusted


def _order(p_values: Sequence[float]) -> list[int]:
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"p == {p}, must be in [0, 1]")
    return sorted(range(len(p_values)), key=p_values.__getitem__)
