"""The gateway: keys, kept answers, breakers; what was called for, and tools, beside a call's texts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("generations", sa.Column("operation", sa.Text(), server_default="chat", nullable=False))
    op.add_column("generation_bodies", sa.Column("tools", sa.Text(), nullable=True))
    op.add_column("generation_bodies", sa.Column("tool_calls", sa.Text(), nullable=True))
    op.add_column("workflow_runs", sa.Column("key_id", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), server_default="[]", nullable=False),
        sa.Column("tags", sa.Text(), server_default="[]", nullable=False),
        sa.Column("rpm", sa.Integer(), nullable=True),
        sa.Column("user_rpm", sa.Integer(), nullable=True),
        sa.Column("log_content", sa.Text(), nullable=True),
        sa.Column("shares_cache", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("rpm > 0 AND user_rpm > 0", name="api_key_rates"),
        sa.CheckConstraint("log_content IN ('full', 'metadata', 'none')", name="api_key_log_content"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "cached_answers",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_cached_answers_expires", "cached_answers", ["expires_at"])
    op.create_table(
        "breakers",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("open_until", sa.BigInteger(), nullable=False),
        sa.Column("n_openings", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "model"),
    )
    op.create_table(
        "rate_hits",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rate_hits_name", "rate_hits", ["name", "at"])
