"""Limits of tokens a minute and of calls at the same time, of keys and of their users."""

from alembic import op

from core.storage.engine.migrations.declared import add, number, small

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    add("api_keys", number("tpm", "user_tpm", optional=True), small("max_parallel", "user_max_parallel", optional=True))
    op.execute("DELETE FROM rate_hits")  # of the last minute, under other names
    add("rate_hits", number("amount", default="1"))
