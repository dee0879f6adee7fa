"""Counts of further kinds (pictures, video, what a vendor charged), by name beside those that have columns."""

from alembic import op

from core.storage.engine.migrations.declared import add, text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    add("generations", text("more_usage", default=""))
    # Names in capitals were never counted: the books of such budgets are written anew when the database is opened.
    op.execute("UPDATE budgets SET is_seeded = 0 WHERE scope LIKE 'model:%'")
