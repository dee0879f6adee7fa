"""Counts of further kinds (pictures, video, what a vendor charged), by name beside those that have columns."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("generations", sa.Column("more_usage", sa.Text(), server_default="", nullable=False))
