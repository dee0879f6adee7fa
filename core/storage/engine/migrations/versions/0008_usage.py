"""Counts of further kinds (pictures, video, what a vendor charged), by name beside those that have columns."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("generations", sa.Column("more_usage", sa.Text(), server_default="", nullable=False))
    # Names in capitals were never counted: the books of such budgets are written anew when the database is opened.
    op.execute("UPDATE budgets SET is_seeded = 0 WHERE scope LIKE 'model:%'")
