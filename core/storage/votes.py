"""Votes: one row a voter and pair of a comparison's answers."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Select, func, select

from core.domain.comparison import Vote, VoteChoice
from core.storage.comparisons import candidates_of
from core.storage.engine.damaged import readable, whole
from core.storage.engine.database import Store
from core.storage.engine.paging import read_page
from core.storage.engine.records import from_row, upsert
from core.storage.evaluation.schema import evaluation_cells, evaluations
from core.storage.schema import generations, votes

_PAIR = ["comparison_id", "voter", "position_a", "position_b"]
MAX_NAMED = 1000  # in one statement: databases limit its values


class VoteStore(Store):
    @staticmethod
    def lock(connection: Connection, comparison_id: str) -> None:
        """Let no other vote on a comparison in until the transaction ends."""
        connection.execute(select(evaluations.c.id).where(evaluations.c.id == comparison_id).with_for_update())

    @staticmethod
    def pairs(connection: Connection, comparison_id: str, voter: str) -> set[tuple[int, int]]:
        """The pairs on which a voter has voted."""
        c = votes.c
        found = connection.execute(
            select(c.position_a, c.position_b).where(c.comparison_id == comparison_id, c.voter == voter)
        )
        return {(row.position_a, row.position_b) for row in found}

    @staticmethod
    def put(connection: Connection, row: Mapping[str, Any], *, replaces: bool = True) -> str:
        """Write a vote, or change the one of that voter and pair unless replaces is False. Gives the vote's id."""
        changed = ("created_at", "choice", "is_blind", "shown_first") if replaces else ()
        connection.execute(upsert(connection.dialect.name, votes, changed, key=_PAIR), dict(row))
        same = [votes.c[name] == row[name] for name in _PAIR]
        return str(connection.execute(select(votes.c.id).where(*same)).scalar_one())

    def voted(self, comparison_id: str, voter: str) -> dict[tuple[int, int], VoteChoice]:
        """A voter's choices by pair."""
        c = votes.c
        statement = select(c.position_a, c.position_b, c.choice).where(
            c.comparison_id == comparison_id, c.voter == voter
        )
        return {(row.position_a, row.position_b): row.choice for row in self._database.rows(statement)}

    def unvoted(self, among: Collection[str], voter: str) -> frozenset[str]:
        """The blind ones of these comparisons of which a voter has not voted on each pair."""
        run_id, n = evaluations.c.id, evaluations.c.n_cells
        n_votes = select(func.count()).select_from(votes).where(votes.c.comparison_id == run_id, votes.c.voter == voter)
        statement = select(run_id).where(evaluations.c.is_blind == 1, 2 * n_votes.scalar_subquery() < n * (n - 1))
        if len(among) <= MAX_NAMED:
            statement = statement.where(run_id.in_(among))
        return frozenset(row.id for row in self._database.rows(statement)).intersection(among)

    def get(self, vote_id: str) -> Vote | None:
        rows = self._database.rows(_whole().where(votes.c.id == vote_id))
        return whole("vote", rows[0], _to_vote) if rows else None

    def all(self, *, demo: bool = False) -> list[Vote]:
        """All votes, oldest first; those on demo comparisons only if asked for."""
        statement = _whole(demo=demo).order_by(votes.c.created_at, votes.c.id)
        return readable("vote", self._database.rows(statement), _to_vote)

    def page(
        self, limit: int, before: str | None, *, demo: bool = False, comparison_id: str | None = None
    ) -> tuple[list[Vote], str | None]:
        """Newest first. comparison_id: Those on it, of the demo or not."""
        statement = (
            _whole(demo=demo) if comparison_id is None else _whole().where(votes.c.comparison_id == comparison_id)
        )
        with self._database.read() as connection:
            rows, after = read_page(connection, statement, (votes.c.created_at, votes.c.id), limit, before)
        return readable("vote", rows, _to_vote), after


def _whole(*, demo: bool | None = None) -> Select[Any]:
    """Votes with both candidates, and the providers that answered for them."""
    statement = select(votes, evaluations.c.plan).join(evaluations, evaluations.c.id == votes.c.comparison_id)
    for side in ("a", "b"):
        cell, answer = evaluation_cells.alias(side), generations.alias(f"answer_{side}")
        is_its = (
            (cell.c.run_id == votes.c.comparison_id) & (cell.c.item == 0)
            & (cell.c.contestant == votes.c[f"position_{side}"])
        )  # fmt: skip
        answered = answer.c.id == cell.c.generation_id
        provider = answer.c.provider.label(f"{side}_provider")
        statement = statement.join(cell, is_its).outerjoin(answer, answered).add_columns(provider)
    if demo is not None:
        statement = statement.where((evaluations.c.source == "demo") == demo)
    return statement


def _to_vote(row: Any) -> Vote:
    candidates = candidates_of(row.plan)
    a, b = (candidates[at].contestant for at in (row.position_a, row.position_b))
    is_simulated = [
        model.startswith("sim-") if provider is None else provider == "simulated"  # a deleted answer has no provider
        for model, provider in ((a.model, row.a_provider), (b.model, row.b_provider))
    ]
    is_mixed = is_simulated[0] != is_simulated[1]
    return from_row(Vote, row, a=a, b=b, is_mixed=is_mixed)
