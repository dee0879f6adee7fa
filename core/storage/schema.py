"""The tables, declared once. Money: integer nano-dollars; time: integer microseconds since 1970 UTC."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

generations = Table(
    "generations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("request_model", Text, nullable=False),
    Column("response_model", Text),
    Column("provider", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("operation", Text, nullable=False, server_default="chat"),  # or embeddings
    Column("status", Text, nullable=False),
    Column("error_class", Text, nullable=False, server_default=""),
    Column("error_message", Text, nullable=False, server_default=""),
    Column("finish_reason", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("thinking_tokens", BigInteger, nullable=False),
    Column("audio_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cached_audio_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_write_tokens", BigInteger, nullable=False, server_default="0"),
    Column("cache_write_1h_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_audio_tokens", BigInteger, nullable=False, server_default="0"),
    Column("n_searches", BigInteger, nullable=False, server_default="0"),
    Column("storage_token_hours", BigInteger, nullable=False, server_default="0"),
    Column("more_usage", Text, nullable=False, server_default=""),  # JSON, counts of further kinds by name
    Column("service_tier", Text, nullable=False, server_default="standard"),
    Column("usages", Text, nullable=False, server_default=""),  # JSON, one a billed attempt, where there were several
    Column("cost_nano_usd", BigInteger),  # NULL = no price is known
    Column("input_nano_usd", BigInteger, nullable=False, server_default="0"),  # the part for uncached input
    Column("cached_nano_usd", BigInteger, nullable=False, server_default="0"),  # the part for cached input
    Column("saved_nano_usd", BigInteger, nullable=False, server_default="0"),
    Column("cost_status", Text, nullable=False),
    Column("price_id", Text, nullable=False, server_default=""),
    Column("latency_us", BigInteger, nullable=False),
    Column("ttft_us", BigInteger),
    Column("n_attempts", Integer, nullable=False, server_default="1"),
    Column("ref_id", Text),
    Column("ref_part", Text),
    Column("ref_name", Text, nullable=False, server_default=""),
    Column("user_id", Text, nullable=False, server_default=""),
    Column("key_id", Text, nullable=False, server_default=""),
    Column("tags", Text, nullable=False, server_default=""),  # ,a,b, : each between commas
    Column("note", Text, nullable=False, server_default=""),
    CheckConstraint("status IN ('ok', 'truncated', 'stopped', 'blocked', 'error')", name="generation_status"),
    CheckConstraint("cost_status IN ('priced', 'estimated', 'unknown', 'cached')", name="generation_cost_status"),
    CheckConstraint("(cost_nano_usd IS NULL) = (cost_status = 'unknown')", name="generation_unknown_is_null"),
    CheckConstraint("cost_nano_usd >= 0 AND latency_us >= 0", name="generation_not_negative"),
    CheckConstraint("input_tokens >= cached_tokens AND cached_tokens >= 0", name="generation_cached_in_input"),
    CheckConstraint("output_tokens >= thinking_tokens AND thinking_tokens >= 0", name="generation_thinking_in_output"),
)
Index("ix_generations_created", generations.c.created_at)
Index("ix_generations_model_created", generations.c.request_model, generations.c.created_at)
Index("ix_generations_source_created", generations.c.source, generations.c.created_at)
Index("ix_generations_ref", generations.c.ref_id, generations.c.ref_part)

# 98 % of the bytes; lists and counts never read it.
generation_bodies = Table(
    "generation_bodies",
    metadata,
    Column("generation_id", String(40), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("messages", Text),  # JSON [[role, text], …]; NULL = not kept
    Column("system", Text),
    Column("parameters", Text, nullable=False, server_default="{}"),
    Column("text", Text),
    Column("thinking", Text),
    Column("tools", Text),  # JSON, the tools that were offered
    Column("tool_calls", Text),  # JSON [[id, name, arguments], …], what the model called
    Column("receipts", Text, nullable=False, server_default="[]"),
    Column("search_text", Text),  # prompts and answer without letter case; last, because all else is read without it
)


def _rollup(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("bucket_at", BigInteger, primary_key=True),
        Column("model", Text, primary_key=True),
        Column("provider", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("status", Text, primary_key=True),
        Column("error_class", Text, primary_key=True),
        Column("n", BigInteger, nullable=False),
        Column("input_tokens", BigInteger, nullable=False),
        Column("cached_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("thinking_tokens", BigInteger, nullable=False),
        Column("cost_nano_usd", BigInteger, nullable=False),
        Column("n_unpriced", BigInteger, nullable=False),
        Column("unpriced_tokens", BigInteger, nullable=False),
        Column("n_estimated", BigInteger, nullable=False),
        Column("input_nano_usd", BigInteger, nullable=False, server_default="0"),
        Column("cached_nano_usd", BigInteger, nullable=False, server_default="0"),
        Column("saved_nano_usd", BigInteger, nullable=False, server_default="0"),
        Column("latency_sum_us", BigInteger, nullable=False),
        Column("latency_min_us", BigInteger, nullable=False),
        Column("latency_max_us", BigInteger, nullable=False),
        Column("latency_histogram", LargeBinary, nullable=False),
        Column("ttft_n", BigInteger, nullable=False),
        Column("ttft_sum_us", BigInteger, nullable=False),
        Column("ttft_histogram", LargeBinary, nullable=False),
    )


rollups_hour = _rollup("rollups_hour")
rollups_day = _rollup("rollups_day")

# Spend per day (UTC) by what is not a column of the rollups above; a call with two tags is in two rows.
spend_by = Table(
    "spend_by",
    metadata,
    Column("bucket_at", BigInteger, primary_key=True),
    Column("dimension", Text, primary_key=True),  # tag, user, key, workflow or experiment
    Column("value", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("n_ok", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("n_unpriced", BigInteger, nullable=False),
)
Index("ix_spend_by_value", spend_by.c.dimension, spend_by.c.value, spend_by.c.bucket_at)

workflows = Table(
    "workflows",
    metadata,
    Column("name", Text, primary_key=True),
    Column("yaml", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

workflow_runs = Table(
    "workflow_runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("workflow_name", Text, nullable=False),
    Column("spec", Text, nullable=False),  # the workflow as it was when the run began
    Column("inputs", Text, nullable=False),  # JSON
    Column("source", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("n_starts", Integer, nullable=False, server_default="1"),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("error", Text, nullable=False, server_default=""),
    Column("cap_nano_usd", BigInteger),  # the run pauses before it would cost more
    Column("key_id", Text, nullable=False, server_default=""),  # the key that asked, which is charged
    # Cancelled by its cap or a budget, not by a person.
    Column("is_paused", Integer, nullable=False, server_default="0"),
    Column("owner", String(40), nullable=False, server_default=""),  # the process that executes it
    CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="workflow_run_status"),
)
Index("ix_workflow_runs_created", workflow_runs.c.created_at)
Index("ix_workflow_runs_status", workflow_runs.c.status)

step_runs = Table(
    "step_runs",
    metadata,
    Column("run_id", String(40), ForeignKey("workflow_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("prompt", Text, nullable=False, server_default=""),
    Column("output", Text, nullable=False, server_default=""),
    Column("error", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False, server_default=""),
    Column("generation_id", String(40)),
    Column("n_attempts", Integer, nullable=False, server_default="0"),
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost_nano_usd", BigInteger),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    CheckConstraint("status IN ('running', 'succeeded', 'failed', 'skipped')", name="step_run_status"),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("system", Text),
    Column("rule", Text, nullable=False),  # JSON
    Column("winner", Integer),  # position by the rule; NULL = none
    Column("is_blind", Integer, nullable=False, server_default="0"),
    Column("key_id", Text, nullable=False, server_default=""),
    Column("owner", String(40), nullable=False, server_default=""),  # the process that asks just now
    Column("status", Text, nullable=False, server_default="finished"),  # queued, running, stopped or finished
    Column("n_starts", Integer, nullable=False, server_default="1"),
    Column("cap_nano_usd", BigInteger),  # what all calls of it may cost
)
Index("ix_comparisons_created", comparisons.c.created_at)
Index("ix_comparisons_status", comparisons.c.status)

candidates = Table(
    "candidates",
    metadata,
    Column("comparison_id", String(40), ForeignKey("comparisons.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("model", Text, nullable=False),
    Column("settings", Text, nullable=False, server_default="{}"),
    Column("generation_id", String(40)),
    Column("error", Text, nullable=False, server_default=""),
)

votes = Table(
    "votes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("comparison_id", String(40), ForeignKey("comparisons.id", ondelete="CASCADE"), nullable=False),
    Column("voter", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("position_a", Integer, nullable=False),
    Column("position_b", Integer, nullable=False),
    Column("choice", Text, nullable=False),
    Column("is_blind", Integer, nullable=False),
    Column("shown_first", Integer),  # position; NULL = not known
    UniqueConstraint("comparison_id", "voter", "position_a", "position_b", name="vote_once"),
    CheckConstraint("choice IN ('a', 'b', 'tie', 'both_bad', 'skip')", name="vote_choice"),
    CheckConstraint("position_a < position_b", name="vote_two_candidates"),
)
Index("ix_votes_created", votes.c.created_at)

# Answers given to requests with an Idempotency-Key, written with what they did.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # of the request: another request with the same key is refused
    Column("answer", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("limit_nano_usd", BigInteger, nullable=False),
    Column("period", Text, nullable=False),
    Column("rolling_hours", Integer, nullable=False, server_default="0"),
    Column("timezone", Text, nullable=False),
    Column("scope", Text, nullable=False),  # all, or provider:, model:, key:, tag: or user: with a name
    Column("action", Text, nullable=False),
    Column("downgrade_to", Text, nullable=False, server_default=""),
    Column("thresholds", Text, nullable=False),  # JSON list of shares
    Column("forecast_thresholds", Text, nullable=False, server_default="[]"),
    Column("refuses_unpriced", Integer, nullable=False, server_default="0"),
    Column("is_seeded", Integer, nullable=False, server_default="0"),  # what was spent before it was made is in
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("limit_nano_usd > 0", name="budget_limit"),
    CheckConstraint("period IN ('day', 'week', 'month', 'rolling')", name="budget_period"),
    CheckConstraint("action IN ('notify', 'downgrade', 'stop')", name="budget_action"),
)

budget_raises = Table(
    "budget_raises",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("budget_id", String(40), ForeignKey("budgets.id", ondelete="CASCADE"), nullable=False),
    Column("extra_nano_usd", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("extra_nano_usd > 0", name="raise_extra"),
)
Index("ix_budget_raises_budget", budget_raises.c.budget_id)

# What each budget's calls cost, by period (calendar periods) or hour (rolling ones).
budget_spend = Table(
    "budget_spend",
    metadata,
    Column("budget_id", String(40), ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True),
    Column("bucket_at", BigInteger, primary_key=True),
    Column("spent_nano_usd", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("n_unpriced", BigInteger, nullable=False),
)

# The worst case of calls under way; gone when the call is recorded, or when its process has died.
reservations = Table(
    "reservations",
    metadata,
    Column("call_id", String(40), primary_key=True),
    Column("budget_id", String(40), ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True),
    Column("bucket_at", BigInteger, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    CheckConstraint("amount_nano_usd >= 0", name="reservation_amount"),
)
Index("ix_reservations_budget", reservations.c.budget_id, reservations.c.bucket_at)

# Every price row that a call was ever charged with, as it was.
price_rows = Table(
    "price_rows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("rates", Text, nullable=False),  # JSON
    Column("service_tier", Text, nullable=False),
    Column("effective_from", Text),  # ISO date
    Column("source", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("first_used_at", BigInteger, nullable=False),
)

team_prices = Table(
    "team_prices",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("row", Text, nullable=False),  # JSON, as given
    Column("created_at", BigInteger, nullable=False),
)

# A newer catalogue that was looked at and taken; the latest one holds.
catalogues = Table(
    "catalogues",
    metadata,
    Column("version", String(40), primary_key=True),
    Column("taken_at", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
)

# Who changed what about money: prices, back-pricing, budgets.
audit = Table(
    "audit",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
)
Index("ix_audit_created", audit.c.created_at)

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(80), primary_key=True),  # budget and threshold
    Column("budget_id", String(40), ForeignKey("budgets.id", ondelete="CASCADE"), nullable=False),
    Column("threshold", Text, nullable=False),  # 0.8 or forecast 1.0
    Column("state", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("bucket_at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    CheckConstraint("state IN ('ok', 'pending', 'firing', 'resolved')", name="alert_state"),
)

# The outbox: a message stays until its channel took it.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("channel", Text, nullable=False),  # webhook, slack or email; where it goes is in the environment
    Column("payload", Text, nullable=False),  # JSON
    Column("created_at", BigInteger, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("n_attempts", Integer, nullable=False, server_default="0"),
    Column("delivered_at", BigInteger),
    Column("error", Text, nullable=False, server_default=""),
)
Index("ix_deliveries_next", deliveries.c.delivered_at, deliveries.c.next_at)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("since", Text, nullable=False),  # ISO dates
    Column("until", Text, nullable=False),
    Column("billed_nano_usd", BigInteger, nullable=False),
    Column("booked_nano_usd", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),  # JSON: drift by model and day
)
Index("ix_reconciliations_created", reconciliations.c.created_at)
