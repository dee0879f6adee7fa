"""The first schema."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import create, ident, number, small, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    create(
        "budgets",
        ident("id"),
        text("name"),
        number("limit_nano_usd"),
        text("period", "timezone", "scope", "action", "thresholds"),
        number("created_at"),
        sa.CheckConstraint("action IN ('notify', 'stop')", name="budget_action"),
        sa.CheckConstraint("period IN ('day', 'week', 'month')", name="budget_period"),
        sa.CheckConstraint("limit_nano_usd > 0", name="budget_limit"),
        sa.UniqueConstraint("name"),
    )
    create(
        "comparisons",
        ident("id"),
        number("created_at"),
        text("source", "prompt"),
        text("system", optional=True),
        text("rule"),
        small("winner", optional=True),
    )
    op.create_index("ix_comparisons_created", "comparisons", ["created_at"])
    create(
        "experiments",
        ident("id"),
        text("name"),
        text("hypothesis", default=""),
        text("unit", "salt", "status"),
        number("created_at"),
        number("stopped_at", optional=True),
        small("is_demo", default="0"),
        sa.CheckConstraint("status IN ('running', 'stopped')", name="experiment_status"),
    )
    create(
        "generations",
        ident("id"),
        number("created_at"),
        text("request_model"),
        text("response_model", optional=True),
        text("provider", "source", "status"),
        text("error_class", "error_message", default=""),
        text("finish_reason", optional=True),
        number("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens"),
        number("audio_tokens", "cached_audio_tokens", default="0"),
        number("cost_nano_usd", optional=True),
        text("cost_status"),
        text("price_id", default=""),
        number("latency_us"),
        number("ttft_us", optional=True),
        small("n_attempts", default="1"),
        text("ref_id", "ref_part", optional=True),
        sa.CheckConstraint("(cost_nano_usd IS NULL) = (cost_status = 'unknown')", name="generation_unknown_is_null"),
        sa.CheckConstraint(
            "cost_status IN ('priced', 'estimated', 'unknown', 'cached')", name="generation_cost_status"
        ),
        sa.CheckConstraint("status IN ('ok', 'truncated', 'stopped', 'blocked', 'error')", name="generation_status"),
        sa.CheckConstraint("cost_nano_usd >= 0 AND latency_us >= 0", name="generation_not_negative"),
        sa.CheckConstraint("input_tokens >= cached_tokens AND cached_tokens >= 0", name="generation_cached_in_input"),
        sa.CheckConstraint(
            "output_tokens >= thinking_tokens AND thinking_tokens >= 0", name="generation_thinking_in_output"
        ),
    )
    op.create_index("ix_generations_created", "generations", ["created_at"])
    op.create_index("ix_generations_model_created", "generations", ["request_model", "created_at"])
    op.create_index("ix_generations_ref", "generations", ["ref_id", "ref_part"])
    for name in ("rollups_day", "rollups_hour"):
        create(
            name,
            number("bucket_at"),
            text("model", "provider", "source", "status", "error_class"),
            number(
                "n",
                "input_tokens",
                "cached_tokens",
                "output_tokens",
                "thinking_tokens",
                "cost_nano_usd",
                "n_unpriced",
                "unpriced_tokens",
                "n_estimated",
                "latency_sum_us",
                "latency_min_us",
                "latency_max_us",
            ),
            sa.Column("latency_histogram", sa.LargeBinary(), nullable=False),
            number("ttft_n", "ttft_sum_us"),
            sa.Column("ttft_histogram", sa.LargeBinary(), nullable=False),
            key=["bucket_at", "model", "provider", "source", "status", "error_class"],
        )
    create(
        "workflow_runs",
        ident("id"),
        text("workflow_name", "spec", "inputs", "source", "status"),
        small("n_starts", default="1"),
        number("created_at"),
        number("finished_at", optional=True),
        text("error", default=""),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="workflow_run_status"
        ),
    )
    op.create_index("ix_workflow_runs_created", "workflow_runs", ["created_at"])
    op.create_index("ix_workflow_runs_status", "workflow_runs", ["status"])
    create(
        "workflows",
        text("name", "yaml"),
        number("updated_at"),
        key=["name"],
    )
    create(
        "candidates",
        ident("comparison_id"),
        small("position"),
        text("model"),
        text("settings", default="{}"),
        ident("generation_id", optional=True),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"], ondelete="CASCADE"),
        key=["comparison_id", "position"],
    )
    create(
        "exposures",
        ident("experiment_id"),
        text("unit_id"),
        small("position"),
        number("created_at"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["experiment_id", "unit_id"],
    )
    op.create_index("ix_exposures_variant", "exposures", ["experiment_id", "position", "created_at"])
    create(
        "generation_bodies",
        ident("generation_id"),
        text("messages", "system", optional=True),
        text("parameters", default="{}"),
        text("text", "thinking", optional=True),
        text("receipts", default="[]"),
        sa.ForeignKeyConstraint(["generation_id"], ["generations.id"], ondelete="CASCADE"),
        key=["generation_id"],
    )
    create(
        "outcomes",
        ident("id", "experiment_id"),
        small("position"),
        text("unit_id", optional=True),
        ident("generation_id", optional=True),
        small("success"),
        sa.Column("rating", sa.Float(), nullable=True),
        number("created_at"),
        sa.CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="outcome_rating"),
        sa.CheckConstraint("success IN (0, 1)", name="outcome_success"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_outcomes_created", "outcomes", ["experiment_id", "created_at"])
    op.create_index(
        "ix_outcomes_experiment", "outcomes", ["experiment_id", "position", "success", "rating"], unique=False
    )
    create(
        "step_runs",
        ident("run_id"),
        text("step"),
        small("position"),
        text("status"),
        text("prompt", "output", "error", "model", default=""),
        ident("generation_id", optional=True),
        small("n_attempts", default="0"),
        number("tokens", default="0"),
        number("cost_nano_usd", "started_at", "finished_at", optional=True),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed', 'skipped')", name="step_run_status"),
        sa.ForeignKeyConstraint(["run_id"], ["workflow_runs.id"], ondelete="CASCADE"),
        key=["run_id", "step"],
    )
    create(
        "variants",
        ident("experiment_id"),
        small("position"),
        text("name", "model"),
        text("system", optional=True),
        text("parameters", default="{}"),
        small("weight"),
        sa.CheckConstraint("weight >= 0", name="variant_weight"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["experiment_id", "position"],
    )
    create(
        "votes",
        ident("id", "comparison_id"),
        number("created_at"),
        small("position_a", "position_b"),
        text("model_a", "model_b", "choice"),
        small("is_blind"),
        sa.CheckConstraint("choice IN ('a', 'b', 'tie', 'both_bad')", name="vote_choice"),
        sa.CheckConstraint("position_a <> position_b", name="vote_two_candidates"),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_votes_comparison", "votes", ["comparison_id"])
    op.create_index("ix_votes_created", "votes", ["created_at"])
