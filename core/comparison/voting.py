"""Votes for their users: cast, changed, kept blind, counted."""

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args

from core import clock
from core.comparison import ballots, win_rates
from core.domain.comparison import LOCAL_VOTER, Best, Comparison, Vote, VoteChoice, WinRate
from core.domain.key import Key
from core.errors import InvalidRequest, NotFound
from core.formats.text import is_storable
from core.keys.rules import check_model
from core.storage.engine.database import Database
from core.storage.engine.writer import Writer
from core.storage.votes import VoteStore

MIN_ABLE = 2  # answers that are complete, for a vote


class VoteService:
    def __init__(self, database: Database, writer: Writer, comparison_of: Callable[[str], Comparison]) -> None:
        self._store = VoteStore(database)
        self._writer = writer
        self._comparison_of = comparison_of

    def vote(
        self,
        comparison_id: str,
        choice: VoteChoice,
        *,
        pair: tuple[int, int] = (0, 1),
        blind: bool = False,
        voter: str | None = None,
        key: Key | None = None,
    ) -> Vote:
        """Record which of two answers a voter prefers: a is pair[0], b is pair[1]. A second vote replaces the first.

        voter: None = the key, or without one whoever sits at this machine.
        key: The caller's.
        blind: The voter was shown no names. The vote counts as blind only if the comparison is blind, its names were
            still hidden, and neither answer says which model wrote it.

        Raises:
            NotFound; InvalidRequest: the choice or the pair does not exist, or one of the two has no whole answer.
            Forbidden: The key may not ask the models of the comparison.
        """
        comparison = self._comparison_of(comparison_id)
        check_models(key, comparison)
        if choice not in get_args(VoteChoice):
            raise InvalidRequest(f"choice == {choice!r}, must be one of {', '.join(get_args(VoteChoice))}")
        low, high = min(pair), max(pair)
        if (low, high) not in comparison.pairs:
            raise InvalidRequest(f"pair == {pair}, must be two positions of the comparison")
        if (low, high) not in comparison.able_pairs:
            raise InvalidRequest("A vote needs two different answers that are complete.")
        chosen = {(low, high): choice if (low, high) == pair else ballots.flipped(choice)}
        return self.get(self._cast(comparison, _checked(voter, key), chosen, blind=blind))

    def choose(self, comparison_id: str, best: Best, *, blind: bool = False, voter: str = LOCAL_VOTER) -> None:
        """Record which of all answers a voter prefers, as votes on their pairs; it replaces all earlier ones.

        best: A position, or that none is better, or good, at all. blind: As in `vote`.

        Raises:
            NotFound; InvalidRequest: That answer is not whole, or there is no other one.
        """
        comparison = self._comparison_of(comparison_id)
        able = [candidate.position for candidate in comparison.candidates if candidate.can_win]
        if len(able) < MIN_ABLE or not (best in able or best in ("tie", "both_bad")):
            raise InvalidRequest("A vote needs two different answers that are complete.")
        self._cast(comparison, _checked(voter, None), ballots.choices_of(best, able), blind=blind)

    def _cast(
        self, comparison: Comparison, voter: str, chosen: Mapping[tuple[int, int], VoteChoice], *, blind: bool
    ) -> str:
        """Write votes down together; the id of the last one."""
        texts = f"{comparison.prompt}\n{comparison.system or ''}"
        given_away = {c.position for c in comparison.candidates if ballots.names_itself(c, texts)}
        order = ballots.shown_order(comparison.id, voter, len(comparison.candidates))

        def work(connection: Any) -> str:
            self._store.lock(connection, comparison.id)
            before = self._store.pairs(connection, comparison.id, voter)
            is_hidden = blind and comparison.is_blind and len(before) < len(comparison.pairs)
            vote_id = ""
            for pair, choice in chosen.items():
                row = _row(comparison, voter, pair, choice)
                if is_hidden and not given_away & set(pair):
                    row.update(is_blind=1, shown_first=min(pair, key=order.index))
                vote_id = self._store.put(connection, row)
            if comparison.is_blind and set(comparison.able_pairs) <= before | set(chosen):
                self._skip_rest(connection, comparison, voter)
            return vote_id

        return str(self._writer.run(work))

    def reveal(self, comparison_id: str, voter: str = LOCAL_VOTER) -> None:
        """Let a voter see the names: pairs without a vote are skipped, and later votes on them are not blind."""
        comparison = self._comparison_of(comparison_id)
        self._writer.run(lambda connection: self._skip_rest(connection, comparison, voter))

    def hides_names(self, comparison: Comparison, voter: str = LOCAL_VOTER) -> bool:
        """Tell whether a voter must not yet see what would tell the candidates apart."""
        return comparison.is_blind and len(self._store.voted(comparison.id, voter)) < len(comparison.pairs)

    def hidden(self, among: Collection[str], voter: str = LOCAL_VOTER) -> frozenset[str]:
        """The ones of these comparisons whose names a voter must not yet see."""
        return self._store.unvoted(among, voter) if among else frozenset()

    def get(self, vote_id: str) -> Vote:
        found = self._store.get(vote_id)
        if found is None:
            raise NotFound(f"There is no vote {vote_id[:60]!r}.")
        return found

    def all(self, *, demo: bool = False) -> list[Vote]:
        """Oldest first; those on demo comparisons instead of the others if asked for."""
        return self._store.all(demo=demo)

    def page(
        self, limit: int, before: str | None = None, *, demo: bool = False, comparison_id: str | None = None
    ) -> tuple[list[Vote], str | None]:
        """Newest first, of all or of one comparison, and what to give as `before` for the next page."""
        return self._store.page(limit, before, demo=demo, comparison_id=comparison_id)

    def of(self, comparison_id: str, voter: str = LOCAL_VOTER) -> dict[tuple[int, int], VoteChoice]:
        """A voter's votes on a comparison, by pair."""
        return self._store.voted(comparison_id, voter)

    def win_rates(self, *, demo: bool = False, by_model: bool = False) -> list[WinRate]:
        return win_rates.rates_of(self.all(demo=demo), by_model=by_model)

    def _skip_rest(self, connection: Any, comparison: Comparison, voter: str) -> None:
        # Of all pairs, also those without two answers: what is answered later has no hidden names any more.
        for pair in comparison.pairs:
            self._store.put(connection, _row(comparison, voter, pair, "skip"), replaces=False)


def check_models(key: Key | None, comparison: Comparison) -> None:
    """Refuse a key that may not ask each model of a comparison. Raises: Forbidden."""
    for candidate in comparison.candidates:
        check_model(key, candidate.name)


def _checked(voter: str | None, key: Key | None) -> str:
    """The name under which a vote is kept: a given one, or that of the caller's key. Raises: InvalidRequest"""
    name = voter if voter is not None else LOCAL_VOTER if key is None else f"key:{key.id}"
    if not name or len(name) > 500 or not is_storable(name):
        raise InvalidRequest(f"voter == {name[:60]!r}, must have 1 to 500 characters")
    return name


def _row(comparison: Comparison, voter: str, pair: tuple[int, int], choice: VoteChoice) -> dict[str, Any]:
    return {
        "id": f"v_{clock.now_us():x}{secrets.token_hex(4)}",
        "comparison_id": comparison.id,
        "voter": voter,
        "created_at": clock.now_us(),
        "position_a": pair[0],
        "position_b": pair[1],
        "choice": choice,
        "is_blind": 0,
        "shown_first": None,
    }
