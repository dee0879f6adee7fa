"""Votes: one a voter and pair. Comparisons: blind ones, the key that asked, the process that asks just now."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, create, ident, number, small, text

revision = "0007"
down_revision = "0006"

_FLIPPED = {"a": "b", "b": "a"}


def upgrade() -> None:
    add("comparisons", small("is_blind", default="0"), text("key_id", default=""), ident("owner", default=""))
    op.create_index("ix_comparisons_owner", "comparisons", ["owner"])
    add("candidates", text("error", default=""))
    rows = _kept(op.get_bind())
    op.drop_table("votes")
    votes = create(
        "votes",
        ident("id", "comparison_id"),
        text("voter"),
        number("created_at"),
        small("position_a", "position_b"),
        text("choice"),
        small("is_blind"),
        small("shown_first", optional=True),
        sa.CheckConstraint("choice IN ('a', 'b', 'tie', 'both_bad', 'skip')", name="vote_choice"),
        sa.CheckConstraint("position_a < position_b", name="vote_two_candidates"),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("comparison_id", "voter", "position_a", "position_b", name="vote_once"),
    )
    op.create_index("ix_votes_created", "votes", ["created_at"])
    if rows:
        op.bulk_insert(votes, rows)


def _kept(connection: sa.Connection) -> list[dict[str, Any]]:
    """The last vote on each pair of a comparison: who voted was not kept, so all are taken for one voter's."""
    columns = "id, comparison_id, created_at, position_a, position_b, choice, is_blind"
    found = connection.execute(sa.text(f"SELECT {columns} FROM votes ORDER BY created_at, id")).mappings()
    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in map(dict, found):
        if row["position_a"] > row["position_b"]:
            row["position_a"], row["position_b"] = row["position_b"], row["position_a"]
            row["choice"] = _FLIPPED.get(row["choice"], row["choice"])
        last[row["comparison_id"], row["position_a"], row["position_b"]] = row | {"voter": "", "shown_first": None}
    return list(last.values())
