"""Steps of runs name the start that did them; the runs of a workflow are found without reading all runs."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("step_runs", sa.Column("start", sa.BigInteger(), nullable=True))
    op.create_index("ix_workflow_runs_name", "workflow_runs", ["workflow_name", "created_at"], unique=False)
