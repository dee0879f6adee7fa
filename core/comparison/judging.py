"""Judges answers: the fastest, cheapest and longest, the winner by the rule, how often each contestant wins. Pure."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from core.domain.comparison import Best, Candidate, Contestant, Criterion, Metric, Vote, VoteChoice, WinRate
from core.domain.generation import Generation
from core.statistics.interval import Interval
from core.statistics.sequential import proportion_interval

MIN_DECIDED = 6
SAME_SHARE = 0.01  # one run does not tell 1 % apart
_FLIPPED: dict[VoteChoice, VoteChoice] = {"a": "b", "b": "a"}

_FAMILIES = (
    "anthropic", "claude", "chatgpt", "gpt-", "openai", "gemini", "gemma", "google deepmind",
    "large language model trained by", "llama", "meta ai", "mistral", "mixtral", "qwen", "alibaba cloud", "deepseek",
    "grok", "cohere", "command-r", "phi-4",
)  # fmt: skip

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


def shown_order(comparison_id: str, voter: str, n: int) -> list[int]:
    """The order in which a voter is shown n answers without names: drawn anew for each, and the same at each look."""

    def drawn(position: int) -> str:
        return hashlib.sha256(f"{comparison_id}:{voter}:{position}".encode()).hexdigest()

    return sorted(range(n), key=drawn)


def names_itself(candidate: Candidate, asked: str) -> bool:
    """Tell whether an answer gives its model away: it names one, or a vendor, that the prompt does not name."""
    text = candidate.generation.text.casefold() if candidate.generation else ""
    asked = asked.casefold()
    return any(name in text and name not in asked for name in (*_FAMILIES, candidate.model.casefold()))


def flipped(choice: VoteChoice) -> VoteChoice:
    """The same choice where the two answers change places."""
    return _FLIPPED.get(choice, choice)


def choices_of(best: Best, able: Sequence[int]) -> dict[tuple[int, int], VoteChoice]:
    """A choice among all answers as votes on their pairs; pairs without the best one are skipped."""
    pairs = list(combinations(sorted(able), 2))
    if isinstance(best, str):
        return dict.fromkeys(pairs, best)
    return {(a, b): "a" if a == best else "b" if b == best else "skip" for a, b in pairs}


def best_of(cast: Mapping[tuple[int, int], VoteChoice], able: Sequence[int]) -> Best | None:
    """The choice among all answers that votes on their pairs come from; None = they say something else."""
    options: tuple[Best, ...] = (*able, "tie", "both_bad")
    said = {pair: cast.get(pair) for pair in combinations(sorted(able), 2)}
    return next((best for best in options if said == choices_of(best, able)), None)


class HeadToHead(NamedTuple):
    """Two contestants against each other, `a` the one that won more often.

    share: Of the decided votes, those that `a` won, valid at every look; None where none is decided.
    """

    a: Contestant
    b: Contestant
    n_decided: int
    n_ties: int
    share: Interval | None

    @property
    def is_decided(self) -> bool:
        return self.share is not None and self.share.excludes(0.5)


def head_to_head(votes: Iterable[Vote], *, by_model: bool = False) -> list[HeadToHead]:
    """Each pair of contestants, those with the most decided votes first. by_model: as in `win_rates`."""
    found = []
    for (one, two), (won, lost, ties) in _tally(votes, by_model=by_model).items():
        a, b, n = (one, two, won) if won >= lost else (two, one, lost)
        decided = won + lost
        share = proportion_interval(n, decided) if decided else None
        found.append(HeadToHead(a, b, decided, ties, share))
    return sorted(found, key=lambda pair: (-pair.n_decided, pair.a.label, pair.b.label))


def win_rates(votes: Iterable[Vote], *, by_model: bool = False) -> list[WinRate]:
    """Per contestant, over pairs of different ones; ties and both-bad decide nothing. Best first, the undecided last.

    by_model: Whatever prompt and parameters a model had; pairs of the same model then decide nothing.
    """
    table: dict[Contestant, list[int]] = {}
    for (one, two), (won, lost, ties) in _tally(votes, by_model=by_model).items():
        for contestant, counts in ((one, (won, lost, ties)), (two, (lost, won, ties))):
            table[contestant] = [a + b for a, b in zip(table.get(contestant, (0, 0, 0)), counts, strict=True)]
    rates = [_rate(contestant, *counts) for contestant, counts in table.items()]
    return sorted(rates, key=lambda rate: (rate.rate is None, -(rate.rate or 0), rate.contestant.label))


def _tally(votes: Iterable[Vote], *, by_model: bool) -> dict[tuple[Contestant, Contestant], list[int]]:
    """Of each pair of different contestants: how often the first won, the second, and neither."""
    found: dict[tuple[Contestant, Contestant], list[int]] = {}
    for vote in votes:
        one, two = (Contestant(vote.a.model), Contestant(vote.b.model)) if by_model else (vote.a, vote.b)
        if one == two or vote.is_mixed or vote.choice == "skip":
            continue
        is_turned = (two, one) in found
        counts = found.setdefault((two, one) if is_turned else (one, two), [0, 0, 0])
        choice = flipped(vote.choice) if is_turned else vote.choice
        counts[{"a": 0, "b": 1}.get(choice, 2)] += 1
    return found


def _rate(contestant: Contestant, wins: int, losses: int, ties: int) -> WinRate:
    decided = wins + losses
    interval = proportion_interval(wins, decided) if decided >= MIN_DECIDED else None
    return WinRate(
        contestant=contestant,
        n_wins=wins,
        n_losses=losses,
        n_ties=ties,
        rate=interval.estimate if interval else None,
        lower=interval.lower if interval else None,
        upper=interval.upper if interval else None,
    )


def first_shown(votes: Iterable[Vote]) -> tuple[int, Interval | None]:
    """The number of decided blind votes, and the share that the answer shown first won; it should be a half."""
    won = [vote.shown_first == (vote.position_a if vote.choice == "a" else vote.position_b) for vote in votes
           if vote.is_decided and vote.shown_first is not None]  # fmt: skip
    return len(won), proportion_interval(sum(won), len(won)) if len(won) >= MIN_DECIDED else None
