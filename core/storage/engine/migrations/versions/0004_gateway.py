"""The gateway: keys, kept answers, breakers; what was called for, and tools, beside a call's texts."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, create, ident, number, small, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    add("generations", text("operation", default="chat"))
    add("generation_bodies", text("tools", "tool_calls", optional=True))
    add("workflow_runs", text("key_id", default=""))
    create(
        "api_keys",
        ident("id"),
        text("name"),
        sa.Column("digest", sa.String(length=64), nullable=False),
        text("hint", "scopes"),
        text("models", "tags", default="[]"),
        small("rpm", "user_rpm", optional=True),
        text("log_content", optional=True),
        small("shares_cache", default="0"),
        number("created_at"),
        number("expires_at", "revoked_at", "last_used_at", optional=True),
        sa.CheckConstraint("rpm > 0 AND user_rpm > 0", name="api_key_rates"),
        sa.CheckConstraint("log_content IN ('full', 'metadata', 'none')", name="api_key_log_content"),
        sa.UniqueConstraint("digest"),
    )
    create(
        "cached_answers",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        number("created_at", "expires_at"),
        key=["digest"],
    )
    op.create_index("ix_cached_answers_expires", "cached_answers", ["expires_at"])
    create(
        "breakers",
        text("provider", "model"),
        number("open_until"),
        small("n_openings"),
        text("reason"),
        key=["provider", "model"],
    )
    create(
        "rate_hits",
        ident("id"),
        text("name"),
        number("at"),
    )
    op.create_index("ix_rate_hits_name", "rate_hits", ["name", "at"])
