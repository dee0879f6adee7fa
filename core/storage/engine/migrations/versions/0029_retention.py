"""Rules of how long calls are kept, how far they have come, and the sums of deleted calls."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import Columns, create, ident, number, small, text

revision = "0029"
down_revision = "0030"
_SPEND = ("n", "n_ok", "input_tokens", "output_tokens", "cost_nano_usd", "n_unpriced")


def upgrade() -> None:
    create(
        "retention_rules",
        text("scope"),
        small("texts_days", "calls_days", optional=True),
        number("changed_at"),
        sa.CheckConstraint("texts_days >= 0 AND calls_days >= 0", name="retention_days"),
        key=["scope"],
    )
    create(
        "retention_progress",
        text("scope", "part"),
        number("done_until", "reached", "n", default="0"),
        key=["scope", "part"],
    )
    create(
        "retention_state",
        text("name"),
        text("owner", default=""),
        number("clock_at", default="0"),
        number("begun_at", "ended_at", "swept_at", optional=True),
        number("n_texts", "n_calls", default="0"),
        key=["name"],
    )
    create(
        "deleted_rollups",
        number("bucket_at"),
        text("model", "provider", "source", "status", "error_class"),
        number("n", "input_tokens", "cached_tokens", "output_tokens", "thinking_tokens"),
        number("cost_nano_usd", "n_unpriced", "unpriced_tokens", "n_estimated"),
        number("input_nano_usd", "cached_nano_usd", "saved_nano_usd", default="0"),
        number("latency_sum_us", "latency_min_us", "latency_max_us"),
        _blob("latency_histogram"),
        number("ttft_n", "ttft_sum_us"),
        _blob("ttft_histogram"),
        key=["bucket_at", "model", "provider", "source", "status", "error_class"],
    )
    create(
        "deleted_spend",
        number("bucket_at"),
        text("dimension", "value", "model", "provider"),
        number(*_SPEND),
        key=["bucket_at", "dimension", "value", "model", "provider"],
    )
    op.create_index("ix_deleted_spend_value", "deleted_spend", ["dimension", "value", "bucket_at"])
    create(
        "experiment_calls",
        ident("generation_id", "ref_id"),
        text("ref_part", "status"),
        number("input_tokens", "output_tokens", "latency_us", "created_at"),
        number("cost_nano_usd", optional=True),
        text("price_id", default=""),
        sa.ForeignKeyConstraint(["ref_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["generation_id"],
    )
    op.create_index("ix_experiment_calls_part", "experiment_calls", ["ref_id", "ref_part"])
    create("forgotten_users", text("user_id"), ident("alias"), number("begun_at"), key=["user_id"])
    if op.get_bind().dialect.name == "postgresql":
        # By default a fifth of a table must be dead before its room is used again: of ten million calls, two million.
        for table in ("generations", "generation_bodies", "call_tags"):
            op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02)")


def _blob(name: str) -> Columns:
    return [sa.Column(name, sa.LargeBinary(), nullable=False)]
