"""Votes: one a voter and pair. Comparisons: blind ones, the key that asked, the process that asks just now."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_FLIPPED = {"a": "b", "b": "a"}


def upgrade() -> None:
    op.add_column("comparisons", sa.Column("is_blind", sa.Integer(), server_default="0", nullable=False))
    op.add_column("comparisons", sa.Column("key_id", sa.Text(), server_default="", nullable=False))
    op.add_column("comparisons", sa.Column("owner", sa.String(length=40), server_default="", nullable=False))
    op.create_index("ix_comparisons_owner", "comparisons", ["owner"])
    op.add_column("candidates", sa.Column("error", sa.Text(), server_default="", nullable=False))
    rows = _kept(op.get_bind())
    op.drop_table("votes")
    votes = op.create_table(
        "votes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("comparison_id", sa.String(length=40), nullable=False),
        sa.Column("voter", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("position_a", sa.Integer(), nullable=False),
        sa.Column("position_b", sa.Integer(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("is_blind", sa.Integer(), nullable=False),
        sa.Column("shown_first", sa.Integer(), nullable=True),
        sa.CheckConstraint("choice IN ('a', 'b', 'tie', 'both_bad', 'skip')", name="vote_choice"),
        sa.CheckConstraint("position_a < position_b", name="vote_two_candidates"),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
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
