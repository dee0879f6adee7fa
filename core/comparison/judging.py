"""Who was fastest, cheapest, longest; who wins by the rule; how often each model wins. Pure."""

from collections.abc import Callable, Iterable, Sequence

from core.domain.comparison import Candidate, Criterion, Metric, Vote, WinRate
from core.domain.generation import Generation
from core.statistics.proportions import wilson_interval

MIN_DECIDED = 6
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


def best(candidates: Sequence[Candidate], criterion: Criterion) -> list[Candidate]:
    """All that are equal to the best within the tie band; a candidate without the value is not among them."""
    known = [
        (candidate, value) for candidate in candidates if (value := value_of(candidate, criterion.metric)) is not None
    ]
    if not known:
        return []
    values = [value for _, value in known]
    top = max(values) if criterion.larger_is_better else min(values)
    band = abs(top) * criterion.tie_share
    return [candidate for candidate, value in known if abs(value - top) <= band]


def sole(candidates: Sequence[Candidate], metric: Metric, *, larger_is_better: bool = False) -> Candidate | None:
    """The one that is best of at least two answers; a tie, or what cannot be told from one, is not crowned."""
    able = [candidate for candidate in candidates if candidate.can_win]
    tops = best(able, Criterion(metric, SAME_SHARE, larger_is_better))
    return tops[0] if len(tops) == 1 and len(able) > 1 else None


def winner(candidates: Iterable[Candidate], rule: Sequence[Criterion]) -> Candidate | None:
    """The winner by a lexicographic rule: each criterion only decides what the ones before left equal.

    Empty, failed and broken-off answers take no part; units are never added to each other. A criterion
    that is unknown of one of them (a model without a price) is passed over: nobody is called cheaper than the unknown.
    """
    left = [candidate for candidate in candidates if candidate.can_win]
    for criterion in rule:
        if len(left) < 2:
            break
        if all(value_of(candidate, criterion.metric) is not None for candidate in left):
            left = best(left, criterion)
    return left[0] if len(left) == 1 else None


def win_rates(votes: Iterable[Vote]) -> list[WinRate]:
    """Per model, over pairs of different models; ties and both-bad decide nothing. Best first, the undecided last."""
    table: dict[str, list[int]] = {}
    for vote in votes:
        if vote.model_a == vote.model_b:
            continue
        a, b = table.setdefault(vote.model_a, [0, 0, 0]), table.setdefault(vote.model_b, [0, 0, 0])
        if vote.choice in ("a", "b"):
            won, lost = (a, b) if vote.choice == "a" else (b, a)
            won[0] += 1
            lost[1] += 1
        else:
            a[2] += 1
            b[2] += 1
    rates = [_rate(model, *counts) for model, counts in table.items()]
    return sorted(rates, key=lambda rate: (rate.rate is None, -(rate.rate or 0), rate.model))


def _rate(model: str, wins: int, losses: int, ties: int) -> WinRate:
    decided = wins + losses
    if decided < MIN_DECIDED:
        return WinRate(model=model, n_wins=wins, n_losses=losses, n_ties=ties, rate=None, lower=None, upper=None)
    interval = wilson_interval(wins, decided)
    return WinRate(
        model=model,
        n_wins=wins,
        n_losses=losses,
        n_ties=ties,
        rate=interval.estimate,
        lower=interval.lower,
        upper=interval.upper,
    )
