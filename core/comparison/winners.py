"""Winners by what calls say: the fastest, cheapest and longest answer, and the first by a rule. Pure."""

from collections.abc import Callable, Iterable, Sequence

from core.domain.comparison import Candidate, Contestant, Criterion, Metric
from core.domain.generation import Generation

SAME_SHARE = 0.01  # one run does not tell 1 % apart

_VALUE: dict[Metric, Callable[[Generation], float | None]] = {
    "cost": lambda g: None if g.cost_usd is None else float(g.cost_usd),
    "latency": lambda g: g.latency_s,
    "ttft": lambda g: g.ttft_s,
    "tokens": lambda g: float(g.usage.output_tokens),
    "length": lambda g: float(len(g.text)),
}


def value_of(candidate: Candidate, metric: Metric) -> float | None:
    return _VALUE[metric](candidate.generation) if candidate.generation else None


def _contestants(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """The candidates that can win, those of one contestant together: only chance tells them apart."""
    groups: dict[Contestant, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.can_win:
            groups.setdefault(candidate.contestant, []).append(candidate)
    return list(groups.values())


def _best(groups: list[list[Candidate]], criterion: Criterion) -> list[list[Candidate]]:
    """All contestants that are equal to the best, by the means of their answers; all of them where a value is unknown.

    Equal is what the tie band covers, and it covers at least the spread that one contestant's own answers show.
    """
    means, spread = [], criterion.tie_share
    for group in groups:
        values = [value for candidate in group if (value := value_of(candidate, criterion.metric)) is not None]
        if len(values) < len(group):
            return groups
        means.append(sum(values) / len(values))
        if max(values) > min(values) > 0:
            spread = max(spread, (max(values) - min(values)) / min(values))
    top = max(means) if criterion.larger_is_better else min(means)
    return [group for group, mean in zip(groups, means, strict=True) if abs(mean - top) <= abs(top) * spread]


def sole(candidates: Iterable[Candidate], metric: Metric, *, larger_is_better: bool = False) -> Candidate | None:
    """The first answer of the contestant that is best of at least two; None = they are tied, as far as can be told."""
    groups = _contestants(candidates)
    tops = _best(groups, Criterion(metric, SAME_SHARE, larger_is_better)) if len(groups) > 1 else []
    return tops[0][0] if len(tops) == 1 else None


def winner(candidates: Iterable[Candidate], rule: Sequence[Criterion]) -> Candidate | None:
    """The winner by a lexicographic rule, of several answers of one contestant the first.

    Each criterion only decides what the ones before left equal. Empty, failed and broken-off answers take no part;
    units are never added to each other. A criterion that is unknown of one of them (a model without a price) is
    passed over: nobody is called cheaper than the unknown. Of one contestant alone nobody wins.
    """
    candidates = list(candidates)
    if len({candidate.contestant for candidate in candidates}) < 2:
        return None
    left = _contestants(candidates)
    for criterion in rule:
        if len(left) > 1:
            left = _best(left, criterion)
    return left[0][0] if len(left) == 1 else None
