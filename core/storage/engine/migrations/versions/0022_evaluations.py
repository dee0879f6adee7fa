"""Evaluations, their cells, and baselines."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import create, double, ident, number, small, text

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    create(
        "evaluations",
        ident("id"),
        text("name", "status"),
        text("reason", "source", "key_id", "author", default=""),
        small("n_starts", default="0"),
        ident("owner", default=""),
        number("created_at"),
        number("ended_at", optional=True),
        text("plan", "dataset"),
        small("n_items", "n_cells"),
        small("n_try", default="1"),
        small("is_simulated", default="0"),
        number("limit_nano_usd", optional=True),
        number("spent_nano_usd", "reserved_nano_usd", "n_unpriced", default="0"),
        text("waiting", default="{}"),
        text("judged", default=""),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'paused', 'stopped', 'finished')", name="evaluation_status"
        ),
        sa.CheckConstraint("reserved_nano_usd >= 0", name="evaluation_reserved"),
    )
    op.create_index("ix_evaluations_created", "evaluations", ["created_at"])
    op.create_index("ix_evaluations_name", "evaluations", ["name", "created_at"])
    create(
        "evaluation_shards",
        ident("id", "run_id"),
        small("first_item", "n_items"),
        text("status"),
        small("n_starts", default="0"),
        ident("owner", default=""),
        number("created_at"),
        sa.ForeignKeyConstraint(["run_id"], ["evaluations.id"], ondelete="CASCADE"),
        sa.CheckConstraint("status IN ('queued', 'running', 'ended')", name="evaluation_shard_status"),
    )
    op.create_index("ix_evaluation_shards_run", "evaluation_shards", ["run_id"])
    op.create_index("ix_evaluation_shards_status", "evaluation_shards", ["status"])
    create(
        "evaluation_cells",
        ident("run_id"),
        small("item", "contestant", "repetition"),
        ident("row_id"),
        ident("work", default=""),
        text("state", default="waiting"),
        small("start", "n_tries", default="0"),
        ident("shard_id", default=""),
        number("asked_at", "answered_at", optional=True),
        number("worst_nano_usd", default="0"),
        ident("generation_id", default=""),
        small("is_reused", default="0"),
        text("grade", default=""),
        double("score", optional=True),
        text("scores", default=""),
        number("cost_nano_usd", "latency_us", optional=True),
        text("finish_reason", "error_class", "error", default=""),
        text("output", optional=True),
        sa.ForeignKeyConstraint(["run_id"], ["evaluations.id"], ondelete="CASCADE"),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'answered', 'error', 'skipped')", name="evaluation_cell_state"
        ),
        key=["run_id", "item", "contestant", "repetition"],
    )
    op.create_index("ix_evaluation_cells_state", "evaluation_cells", ["run_id", "state", "contestant", "item"])
    op.create_index("ix_evaluation_cells_work", "evaluation_cells", ["work", "answered_at"])
    create(
        "baselines",
        text("name"),
        ident("run_id"),
        number("moved_at"),
        text("author", default=""),
        sa.ForeignKeyConstraint(["run_id"], ["evaluations.id"], ondelete="CASCADE"),
        key=["name"],
    )
    create(
        "baseline_moves",
        text("name"),
        number("moved_at"),
        text("run_id"),
        text("was", "author", default=""),
        key=["name", "moved_at"],
    )
