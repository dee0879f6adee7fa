"""Logins to the pages, requests with an Idempotency-Key, and feedback on any answer."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import create, ident, number, text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    create(
        "logins",
        sa.Column("id", sa.String(length=64), nullable=False),
        number("created_at", "expires_at"),
    )
    create(
        "keyed_requests",
        text("scope", "key"),
        sa.Column("digest", sa.String(length=64), nullable=False),
        text("owner"),
        number("created_at"),
        number("answered_at", optional=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        key=["scope", "key"],
    )
    op.create_index("ix_keyed_requests_created", "keyed_requests", ["created_at"])
    create(
        "feedback",
        ident("generation_id"),
        text("key_id", "user_id"),
        text("thumb", optional=True),
        sa.Column("rating", sa.Float(), nullable=True),
        text("text", optional=True),
        number("created_at", "updated_at"),
        sa.CheckConstraint("thumb IN ('up', 'down')", name="feedback_thumb"),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name="feedback_rating"),
        sa.ForeignKeyConstraint(["generation_id"], ["generations.id"], ondelete="CASCADE"),
        key=["generation_id", "key_id", "user_id"],
    )
