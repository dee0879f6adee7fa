"""Money: the ledger of budgets, own prices, audit, alerts, reconciliation; what a call is spent on."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, create, ident, number, small, text

revision = "0002"
down_revision = "0001"

_COUNTS = ("cache_write_tokens", "cache_write_1h_tokens", "output_audio_tokens", "n_searches", "storage_token_hours")
_MONEY = ("input_nano_usd", "cached_nano_usd", "saved_nano_usd")
_TEXTS = ("usages", "ref_name", "user_id", "key_id", "tags", "note")


def upgrade() -> None:
    add("generations", number(*_COUNTS, *_MONEY, default="0"), text(*_TEXTS, default=""))
    add("generations", text("service_tier", default="standard"))
    for table in ("rollups_hour", "rollups_day"):
        add(table, number(*_MONEY, default="0"))
    add("workflow_runs", number("cap_nano_usd", optional=True), small("is_paused", default="0"))
    # SQLite cannot change a check: the table is made anew. Nothing refers to it yet.
    op.rename_table("budgets", "budgets_old")
    create(
        "budgets",
        ident("id"),
        text("name"),
        number("limit_nano_usd"),
        text("period"),
        small("rolling_hours", default="0"),
        text("timezone", "scope", "action"),
        text("downgrade_to", default=""),
        text("thresholds"),
        text("forecast_thresholds", default="[]"),
        small("refuses_unpriced", "is_seeded", default="0"),
        number("created_at"),
        sa.CheckConstraint("action IN ('notify', 'downgrade', 'stop')", name="budget_action"),
        sa.CheckConstraint("limit_nano_usd > 0", name="budget_limit"),
        sa.CheckConstraint("period IN ('day', 'week', 'month', 'rolling')", name="budget_period"),
        sa.UniqueConstraint("name"),
    )
    _move_budgets()
    create(
        "spend_by",
        number("bucket_at"),
        text("dimension", "value", "model", "provider"),
        number("n", "n_ok", "input_tokens", "output_tokens", "cost_nano_usd", "n_unpriced"),
        key=["bucket_at", "dimension", "value", "model", "provider"],
    )
    op.create_index("ix_spend_by_value", "spend_by", ["dimension", "value", "bucket_at"])
    create(
        "budget_raises",
        ident("id", "budget_id"),
        number("extra_nano_usd", "created_at", "expires_at"),
        text("reason"),
        sa.CheckConstraint("extra_nano_usd > 0", name="raise_extra"),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_budget_raises_budget", "budget_raises", ["budget_id"])
    create(
        "budget_spend",
        ident("budget_id"),
        number("bucket_at", "spent_nano_usd", "n", "n_unpriced"),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
        key=["budget_id", "bucket_at"],
    )
    create(
        "reservations",
        ident("call_id", "budget_id"),
        number("bucket_at", "amount_nano_usd"),
        text("owner"),
        sa.CheckConstraint("amount_nano_usd >= 0", name="reservation_amount"),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
        key=["call_id", "budget_id"],
    )
    op.create_index("ix_reservations_budget", "reservations", ["budget_id", "bucket_at"])
    create(
        "price_rows",
        text("id", "provider", "model", "rates", "service_tier"),
        text("effective_from", optional=True),
        text("source"),
        text("note", default=""),
        number("first_used_at"),
    )
    create(
        "team_prices",
        ident("id"),
        text("row"),
        number("created_at"),
    )
    create(
        "catalogues",
        ident("version"),
        number("taken_at"),
        text("content"),
        key=["version"],
    )
    create(
        "audit",
        ident("id"),
        number("created_at"),
        text("action", "subject", "detail"),
    )
    op.create_index("ix_audit_created", "audit", ["created_at"])
    create(
        "alerts",
        sa.Column("id", sa.String(length=80), nullable=False),
        ident("budget_id"),
        text("threshold", "state"),
        number("since", "bucket_at"),
        text("text"),
        sa.CheckConstraint("state IN ('ok', 'pending', 'firing', 'resolved')", name="alert_state"),
        sa.ForeignKeyConstraint(["budget_id"], ["budgets.id"], ondelete="CASCADE"),
    )
    create(
        "deliveries",
        ident("id"),
        text("channel", "payload"),
        number("created_at", "next_at"),
        small("n_attempts", default="0"),
        number("delivered_at", optional=True),
        text("error", default=""),
    )
    op.create_index("ix_deliveries_next", "deliveries", ["delivered_at", "next_at"])
    create(
        "reconciliations",
        ident("id"),
        number("created_at"),
        text("provider", "source", "since", "until"),
        number("billed_nano_usd", "booked_nano_usd"),
        text("detail"),
    )
    op.create_index("ix_reconciliations_created", "reconciliations", ["created_at"])


def _move_budgets() -> None:
    names = "id, name, limit_nano_usd, period, timezone, scope, action, thresholds, created_at"
    op.execute(f"INSERT INTO budgets ({names}) SELECT {names} FROM budgets_old")
    op.drop_table("budgets_old")
