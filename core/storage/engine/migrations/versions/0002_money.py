"""Money: the ledger of budgets, own prices, audit, alerts, reconciliation; what a call is spent on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COUNTS = ("cache_write_tokens", "cache_write_1h_tokens", "output_audio_tokens", "n_searches", "storage_token_hours")
_MONEY = ("input_nano_usd", "cached_nano_usd", "saved_nano_usd")
_TEXTS = ("usages", "ref_name", "user_id", "key_id", "tags", "note")


def upgrade() -> None:
    for name in _COUNTS + _MONEY:
        op.add_column("generations", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    for name in _TEXTS:
        op.add_column("generations", sa.Column(name, sa.Text(), server_default="", nullable=False))
    tier = sa.Column("service_tier", sa.Text(), server_default="standard", nullable=False)
    op.add_column("generations", tier)
    for table in ("rollups_hour", "rollups_day"):
        for name in _MONEY:
            op.add_column(table, sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("workflow_runs", sa.Column("cap_nano_usd", sa.BigInteger(), nullable=True))
    op.add_column("workflow_runs", sa.Column("is_paused", sa.Integer(), server_default="0", nullable=False))
    # SQLite cannot change a check: the table is made anew. Nothing refers to it yet.
    op.rename_table("budgets", "budgets_old")
    op.create_table(
        "budgets",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("rolling_hours", sa.Integer(), server_default="0", nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("downgrade_to", sa.Text(), server_default="", nullable=False),
        sa.Column("thresholds", sa.Text(), nullable=False),
        sa.Column("forecast_thresholds", sa.Text(), server_default="[]", nullable=False),
        sa.Column("refuses_unpriced", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_seeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("action IN ('notify', 'downgrade', 'stop')", name="budget_action"),
        sa.CheckConstraint("limit_nano_usd > 0", name="budget_limit"),
        sa.CheckConstraint("period IN ('day', 'week', 'month', 'rolling')", name="budget_period"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    _move_budgets()
    op.create_table(
        "spend_by",
        sa.Column("bucket_at", sa.BigInteger(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("n_ok", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("n_unpriced", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket_at", "dimension", "value", "model", "provider"),
    )
    op.create_index("ix_spend_by_value", "spend_by", ["dimension", "value", "bucket_at"], unique=False)
    op.create_table(
        "budget_raises",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("budget_id", sa.String(length=40), nullable=False),
        sa.Column("extra_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("extra_nano_usd > 0", name="raise_extra"),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_budget_raises_budget", "budget_raises", ["budget_id"], unique=False)
    op.create_table(
        "budget_spend",
        sa.Column("budget_id", sa.String(length=40), nullable=False),
        sa.Column("bucket_at", sa.BigInteger(), nullable=False),
        sa.Column("spent_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("n_unpriced", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("budget_id", "bucket_at"),
    )
    op.create_table(
        "reservations",
        sa.Column("call_id", sa.String(length=40), nullable=False),
        sa.Column("budget_id", sa.String(length=40), nullable=False),
        sa.Column("bucket_at", sa.BigInteger(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.CheckConstraint("amount_nano_usd >= 0", name="reservation_amount"),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "budget_id"),
    )
    op.create_index("ix_reservations_budget", "reservations", ["budget_id", "bucket_at"], unique=False)
    op.create_table(
        "price_rows",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("rates", sa.Text(), nullable=False),
        sa.Column("service_tier", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("first_used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "team_prices",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "catalogues",
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_created", "audit", ["created_at"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("budget_id", sa.String(length=40), nullable=False),
        sa.Column("threshold", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("bucket_at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('ok', 'pending', 'firing', 'resolved')", name="alert_state"),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("n_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_deliveries_next", "deliveries", ["delivered_at", "next_at"], unique=False)
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("until", sa.Text(), nullable=False),
        sa.Column("billed_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("booked_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_reconciliations_created", "reconciliations", ["created_at"], unique=False)


def _move_budgets() -> None:
    names = "id, name, limit_nano_usd, period, timezone, scope, action, thresholds, created_at"
    op.execute(f"INSERT INTO budgets ({names}) SELECT {names} FROM budgets_old")
    op.drop_table("budgets_old")
