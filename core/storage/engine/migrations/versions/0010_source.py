"""The calls of one source, newest first, without a look at those of all others."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index("ix_generations_source_created", "generations", ["source", "created_at"])
