"""Indexes of what pages look for: unpriced calls, latest opinions and messages, models of vendors."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    is_unpriced = sa.text("cost_nano_usd IS NULL")
    op.create_index(
        "ix_generations_unpriced", "generations",
        ["provider", "request_model", "response_model", "created_at", "input_tokens", "output_tokens", "cost_nano_usd"],
        sqlite_where=is_unpriced, postgresql_where=is_unpriced,
    )  # fmt: skip
    op.create_index("ix_deliveries_created", "deliveries", ["created_at"])
    op.create_index("ix_feedback_created", "feedback", ["created_at"])
    op.create_index("ix_rollups_day_provider", "rollups_day", ["provider", "model"])
