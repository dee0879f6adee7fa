"""Responses that a later request may refer to, and their items."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import create, number, text

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    create(
        "stored_responses",
        text("id", "key_id", "provider", "previous_id"), number("created_at"), sa.Column("content", sa.LargeBinary()),
        key=["id"],
    )  # fmt: skip
    op.create_index("ix_stored_responses_created", "stored_responses", ["created_at"])
    create("response_items", text("id", "response_id"), key=["id"])
    op.create_index("ix_response_items_response", "response_items", ["response_id"])
