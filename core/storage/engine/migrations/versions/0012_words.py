"""Cached responses are called what the field calls them."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.drop_index("ix_cached_answers_expires", "cached_answers")
    op.rename_table("cached_answers", "cached_responses")
    op.alter_column("cached_responses", "answer", new_column_name="response")
    op.create_index("ix_cached_responses_expires", "cached_responses", ["expires_at"])
