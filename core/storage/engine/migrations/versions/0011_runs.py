"""Runs and comparisons name the process that executes them; comparisons are started, stopped and taken up like runs."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("workflow_runs", sa.Column("owner", sa.String(length=40), server_default="", nullable=False))
    op.add_column("comparisons", sa.Column("status", sa.Text(), server_default="finished", nullable=False))
    op.add_column("comparisons", sa.Column("n_starts", sa.Integer(), server_default="1", nullable=False))
    op.add_column("comparisons", sa.Column("cap_nano_usd", sa.BigInteger(), nullable=True))
    op.execute("UPDATE comparisons SET status = 'running' WHERE owner <> ''")
    op.drop_index("ix_comparisons_owner", "comparisons")
    op.create_index("ix_comparisons_status", "comparisons", ["status"], unique=False)
