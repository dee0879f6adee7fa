"""Runs and comparisons name the process that executes them; comparisons are started, stopped and taken up like runs."""

from alembic import op

from core.storage.engine.migrations.declared import add, ident, number, small, text

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    add("workflow_runs", ident("owner", default=""))
    add(
        "comparisons",
        text("status", default="finished"),
        small("n_starts", default="1"),
        number("cap_nano_usd", optional=True),
    )
    op.execute("UPDATE comparisons SET status = 'running' WHERE owner <> ''")
    op.drop_index("ix_comparisons_owner", "comparisons")
    op.create_index("ix_comparisons_status", "comparisons", ["status"])
