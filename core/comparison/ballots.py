"""Ballots: in which order answers are shown without names, what gives one away, a choice as votes on pairs. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations

from core.domain.comparison import Best, Candidate, VoteChoice

_FLIPPED: dict[VoteChoice, VoteChoice] = {"a": "b", "b": "a"}
_FAMILIES = (
    "anthropic", "claude", "chatgpt", "gpt-", "openai", "gemini", "gemma", "google deepmind",
    "large language model trained by", "llama", "meta ai", "mistral", "mixtral", "qwen", "alibaba cloud", "deepseek",
    "grok", "cohere", "command-r", "phi-4",
)  # fmt: skip


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
