"""Indexes of real and of simulated calls by time."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    for name, sign in (("simulated", "="), ("real", "!=")):
        where = sa.text(f"provider {sign} 'simulated'")
        op.create_index(
            f"ix_generations_{name}", "generations", ["created_at"], sqlite_where=where, postgresql_where=where
        )
