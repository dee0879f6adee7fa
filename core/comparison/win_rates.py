"""Win rates of votes: how often each contestant wins, and each against each other, with their intervals. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from core.comparison.ballots import flipped
from core.domain.comparison import Contestant, Vote, WinRate
from core.statistics.interval import Interval
from core.statistics.sequential import proportion_interval

MIN_DECIDED = 6


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
    """Each pair of contestants, those with the most decided votes first. by_model: as in `rates_of`."""
    found = []
    for (one, two), (won, lost, ties) in _tally(votes, by_model=by_model).items():
        a, b, n = (one, two, won) if won >= lost else (two, one, lost)
        decided = won + lost
        share = proportion_interval(n, decided) if decided else None
        found.append(HeadToHead(a, b, decided, ties, share))
    return sorted(found, key=lambda pair: (-pair.n_decided, pair.a.label, pair.b.label))


def rates_of(votes: Iterable[Vote], *, by_model: bool = False) -> list[WinRate]:
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
