"""The tables, declared once. Money: integer nano-dollars; time: integer microseconds since 1970 UTC."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
)
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.sql.expression import literal_column

from core.storage.columns import ID, flag, key, number, reference, small, table, text
from core.storage.columns import metadata as metadata  # named by the migrations

generations = table(
    "generations",
    key("id", kind=ID),
    number("created_at"),
    text("request_model"),
    text("response_model", optional=True),
    text("provider", "source"),
    text("operation", default="chat"),  # or embeddings
    text("status"),
    text("error_class", "error_message", default=""),
    text("finish_reason", optional=True),
    number("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens"),
    number("audio_tokens", "cached_audio_tokens", "cache_write_tokens", "cache_write_1h_tokens", default="0"),
    number("output_audio_tokens", "n_searches", "storage_token_hours", default="0"),
    text("more_usage", default=""),  # JSON, counts of further kinds by name
    text("service_tier", default="standard"),
    text("usages", default=""),  # JSON, one a billed attempt, where there were several
    number("cost_nano_usd", optional=True),  # NULL = no price is known
    number("input_nano_usd", default="0"),  # the part for uncached input
    number("cached_nano_usd", default="0"),  # the part for cached input
    number("saved_nano_usd", default="0"),
    text("cost_status"),
    text("price_id", default=""),
    number("latency_us"),
    number("ttft_us", optional=True),
    small("n_attempts", default="1"),
    text("ref_id", "ref_part", optional=True),
    text("ref_name", "user_id", "key_id", default=""),
    text("tags", default=""),  # ,a,b, : each between commas
    text("note", default=""),
    text("prompt_version", default=""),  # NAME@NUMBER
    text("session_id", default=""),
    text("deployment", default=""),  # empty = that of the provider's name
    text("team", default=""),  # of the key or the person, at that time
    CheckConstraint("status IN ('ok', 'truncated', 'stopped', 'blocked', 'error')", name="generation_status"),
    CheckConstraint("cost_status IN ('priced', 'estimated', 'unknown', 'cached')", name="generation_cost_status"),
    CheckConstraint("(cost_nano_usd IS NULL) = (cost_status = 'unknown')", name="generation_unknown_is_null"),
    CheckConstraint("cost_nano_usd >= 0 AND latency_us >= 0", name="generation_not_negative"),
    CheckConstraint("input_tokens >= cached_tokens AND cached_tokens >= 0", name="generation_cached_in_input"),
    CheckConstraint("output_tokens >= thinking_tokens AND thinking_tokens >= 0", name="generation_thinking_in_output"),
)
# What the filters of the log look at, so that they are answered without the rows.
FILTERED = (
    "created_at", "latency_us", "cost_nano_usd", "status", "source", "provider", "request_model", "error_class",
    "key_id", "user_id", "tags", "ref_name", "prompt_version",
)  # fmt: skip
Index("ix_generations_log", *(generations.c[name] for name in FILTERED)).ddl_if(dialect="sqlite")
# On PostgreSQL an entry has at most 2,700 bytes: without texts of any length.
_INCLUDED = [name for name in FILTERED[1:] if name not in ("user_id", "ref_name", "prompt_version")]
Index("ix_generations_log", generations.c.created_at, postgresql_include=_INCLUDED).ddl_if(dialect="postgresql")
Index("ix_generations_model_created", generations.c.request_model, generations.c.created_at)
Index("ix_generations_source_created", generations.c.source, generations.c.created_at)
Index("ix_generations_ref", generations.c.ref_id, generations.c.ref_part)
IS_NOT_OK = generations.c.status != literal_column("'ok'")
Index("ix_generations_not_ok", generations.c.created_at, sqlite_where=IS_NOT_OK, postgresql_where=IS_NOT_OK)
IS_SIMULATED = {
    True: generations.c.provider == literal_column("'simulated'"),
    False: generations.c.provider != literal_column("'simulated'"),
}
for _name, _is in (("simulated", IS_SIMULATED[True]), ("real", IS_SIMULATED[False])):
    Index(f"ix_generations_{_name}", generations.c.created_at, sqlite_where=_is, postgresql_where=_is)
_is_unpriced = generations.c.cost_nano_usd.is_(None)
Index(
    "ix_generations_unpriced",
    *(generations.c[name] for name in ("provider", "request_model", "response_model", "created_at")),
    *(generations.c[name] for name in ("input_tokens", "output_tokens", "cost_nano_usd")),  # so it answers by itself
    sqlite_where=_is_unpriced, postgresql_where=_is_unpriced,
)  # fmt: skip
# What a call was made for, by its column; most have none. Queries say these conditions too, that an index may serve.
_MADE_FOR = {
    "key": "key_id", "user": "user_id", "workflow": "ref_name", "prompt": "prompt_version", "session": "session_id",
    "deployment": "deployment",
}  # fmt: skip
IS_NAMED = {name: generations.c[column] != literal_column("''") for name, column in _MADE_FOR.items()}
for _is_named in IS_NAMED.values():
    _column = _is_named.left
    Index(
        f"ix_generations_{_column.name}_created", _column, generations.c.created_at,
        sqlite_where=_is_named, postgresql_where=_is_named,
    )  # fmt: skip
# A row a tag of a call.
call_tags = table("call_tags", key("tag"), key("created_at", kind=BigInteger), key("generation_id", kind=ID))

# 98 % of the bytes; lists and counts never read it.
generation_bodies = table(
    "generation_bodies",
    reference("generation_id", "generations.id", is_key=True),
    text("messages", optional=True),  # JSON [[role, text], …]; NULL = not kept
    text("system", optional=True),
    text("parameters", default="{}"),
    text("text", "thinking", optional=True),
    text("tools", optional=True),  # JSON, the tools that were offered
    text("tool_calls", optional=True),  # JSON [[id, name, arguments], …], what the model called
    text("receipts", default="[]"),
    # Prompts and answer without letter case; last, because all else is read without it.
    text("search_text", optional=True),
)


def hourly_sums(name: str) -> Table:
    """A table of sums of calls over time, with histograms of their latencies."""
    return table(
        name,
        key("bucket_at", kind=BigInteger),
        key("model", "provider", "source", "status", "error_class"),
        number("n", "input_tokens", "cached_tokens", "output_tokens", "thinking_tokens"),
        number("cost_nano_usd", "n_unpriced", "unpriced_tokens", "n_estimated"),
        number("input_nano_usd", "cached_nano_usd", "saved_nano_usd", default="0"),
        number("latency_sum_us", "latency_min_us", "latency_max_us"),
        Column("latency_histogram", LargeBinary, nullable=False),
        number("ttft_n", "ttft_sum_us"),
        Column("ttft_histogram", LargeBinary, nullable=False),
    )


rollups_hour = hourly_sums("rollups_hour")
rollups_day = hourly_sums("rollups_day")
Index("ix_rollups_day_provider", rollups_day.c.provider, rollups_day.c.model)

# Spend per day (UTC) by what is not a column of the rollups above; a call with two tags is in two rows.
spend_by = table(
    "spend_by",
    key("bucket_at", kind=BigInteger),
    key("dimension"),  # tag, user, key, team, workflow or experiment
    key("value", "model", "provider"),
    number("n", "n_ok", "input_tokens", "output_tokens", "cost_nano_usd", "n_unpriced"),
)
Index("ix_spend_by_value", spend_by.c.dimension, spend_by.c.value, spend_by.c.bucket_at)

# Each vendor's models in the order in which they were first seen.
seen_models = table(
    "seen_models",
    key("provider", "model"),
    small("place"),
)

workflows = table(
    "workflows",
    key("name"),
    text("yaml"),
    number("updated_at"),
)

workflow_runs = table(
    "workflow_runs",
    key("id", kind=ID),
    text("workflow_name"),
    text("spec"),  # the workflow as it was when the run began
    text("inputs"),  # JSON
    text("source", "status"),
    small("n_starts", default="1"),
    number("created_at"),
    number("finished_at", optional=True),
    text("error", default=""),
    number("cap_nano_usd", optional=True),  # the run pauses before it would cost more
    text("key_id", default=""),  # the key that asked, which is charged
    # Cancelled by its cap or a budget, not by a person.
    flag("is_paused"),
    Column("owner", ID, nullable=False, server_default=""),  # the process that executes it
    CheckConstraint("status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="workflow_run_status"),
)
Index("ix_workflow_runs_created", workflow_runs.c.created_at)
Index("ix_workflow_runs_status", workflow_runs.c.status)
Index("ix_workflow_runs_name", workflow_runs.c.workflow_name, workflow_runs.c.created_at)

step_runs = table(
    "step_runs",
    reference("run_id", "workflow_runs.id", is_key=True),
    key("step"),
    small("position"),
    text("status"),
    text("prompt", "output", "error", "model", default=""),
    Column("generation_id", ID),
    small("n_attempts", default="0"),
    number("tokens", default="0"),
    number("cost_nano_usd", "started_at", "finished_at", "start", optional=True),
    CheckConstraint("status IN ('running', 'succeeded', 'failed', 'skipped')", name="step_run_status"),
)

votes = table(
    "votes",
    key("id", kind=ID),
    reference("comparison_id", "evaluations.id"),
    text("voter"),
    number("created_at"),
    small("position_a", "position_b"),
    text("choice"),
    small("is_blind"),
    small("shown_first", optional=True),  # position; NULL = not known
    Unique("comparison_id", "voter", "position_a", "position_b", name="vote_once"),
    CheckConstraint("choice IN ('a', 'b', 'tie', 'both_bad', 'skip')", name="vote_choice"),
    CheckConstraint("position_a < position_b", name="vote_two_candidates"),
)
Index("ix_votes_created", votes.c.created_at)

# Answers given to requests with an Idempotency-Key, written with what they did.
idempotency_keys = table(
    "idempotency_keys",
    key("scope", "key"),
    text("digest"),  # of the request: another request with the same key is refused
    text("answer"),
    number("created_at"),
)

budgets = table(
    "budgets",
    key("id", kind=ID),
    Column("name", Text, nullable=False, unique=True),
    number("limit_nano_usd"),
    text("period"),
    small("rolling_hours", default="0"),
    text("timezone"),
    text("scope"),  # all, or provider:, model:, key:, team:, tag: or user: with a name
    text("action"),
    text("downgrade_to", default=""),
    text("thresholds"),  # JSON list of shares
    text("forecast_thresholds", default="[]"),
    flag("refuses_unpriced"),
    flag("is_seeded"),  # what was spent before it was made is in
    number("created_at"),
    CheckConstraint("limit_nano_usd > 0", name="budget_limit"),
    CheckConstraint("period IN ('day', 'week', 'month', 'rolling')", name="budget_period"),
    CheckConstraint("action IN ('notify', 'downgrade', 'stop')", name="budget_action"),
)

budget_raises = table(
    "budget_raises",
    key("id", kind=ID),
    reference("budget_id", "budgets.id"),
    number("extra_nano_usd", "created_at", "expires_at"),
    text("reason"),
    CheckConstraint("extra_nano_usd > 0", name="raise_extra"),
)
Index("ix_budget_raises_budget", budget_raises.c.budget_id)

# What each budget's calls cost, by period (calendar periods) or hour (rolling ones).
budget_spend = table(
    "budget_spend",
    reference("budget_id", "budgets.id", is_key=True),
    key("bucket_at", kind=BigInteger),
    number("spent_nano_usd", "n", "n_unpriced"),
)

# The worst case of calls under way; gone when the call is recorded, or when its process has died.
reservations = table(
    "reservations",
    key("call_id", kind=ID),
    reference("budget_id", "budgets.id", is_key=True),
    number("bucket_at", "amount_nano_usd"),
    text("owner"),
    CheckConstraint("amount_nano_usd >= 0", name="reservation_amount"),
)
Index("ix_reservations_budget", reservations.c.budget_id, reservations.c.bucket_at)

# Every price row that a call was ever charged with, as it was.
price_rows = table(
    "price_rows",
    key("id"),
    text("provider", "model"),
    text("rates"),  # JSON
    text("service_tier"),
    text("effective_from", optional=True),  # ISO date
    text("source"),
    text("note", default=""),
    number("first_used_at"),
)

team_prices = table(
    "team_prices",
    key("id", kind=ID),
    text("row"),  # JSON, as given
    number("created_at"),
)

# A newer catalogue that was looked at and taken; the latest one holds.
catalogues = table(
    "catalogues",
    key("version", kind=ID),
    number("taken_at"),
    text("content"),
)

# Who changed what, or tried; only ever added to. Of entries from before actors were noted, who is empty.
audit = table(
    "audit",
    key("id", kind=ID),
    number("created_at"),
    text("action", "subject"),
    text("detail"),  # JSON
    text("kind", "actor", "actor_id", "role", "door", "address", default=""),
    text("outcome", default="done"),  # or refused
    text("before", "after", optional=True),  # JSON, the fields that changed; NULL = it was not there, or is no more
)
Index("ix_audit_created", audit.c.created_at, audit.c.id)

alerts = table(
    "alerts",
    key("id", kind=String(80)),  # budget and threshold
    reference("budget_id", "budgets.id"),
    text("threshold"),  # 0.8 or forecast 1.0
    text("state"),
    number("since", "bucket_at"),
    text("text"),
    CheckConstraint("state IN ('ok', 'pending', 'firing', 'resolved')", name="alert_state"),
)

# The outbox: a message stays until its channel took it.
deliveries = table(
    "deliveries",
    key("id", kind=ID),
    text("channel"),  # webhook, slack, email, pagerduty; where it goes is in the environment; or email:ADDRESS
    text("payload"),  # JSON
    text("about", default=""),  # messages about the same go out in the order they were made; empty = about nothing
    number("created_at", "next_at"),
    small("n_attempts", default="0"),
    number("delivered_at", optional=True),
    text("error", default=""),
)
Index("ix_deliveries_created", deliveries.c.created_at)
Index("ix_deliveries_next", deliveries.c.delivered_at, deliveries.c.next_at)

alert_rules = table(
    "alert_rules",
    key("name"),
    text("definition"),  # JSON
    flag("is_on"),
    number("checked_at", default="0"),  # by whichever process
)

alert_rule_states = table(
    "alert_rule_states",
    Column("rule", Text, ForeignKey("alert_rules.name", ondelete="CASCADE"), primary_key=True),
    key("subject"),
    text("state"),
    number("since", "seen_at"),
    number("clear_at", optional=True),
    Column("value", Double),  # NULL = not known
    text("text", default=""),
    flag("is_told"),
    text("event", default=""),
    CheckConstraint("state IN ('ok', 'pending', 'firing', 'resolved')", name="alert_rule_state"),
)

alert_silences = table(
    "alert_silences",
    key("id", kind=ID),
    text("name", default=""),  # of a rule or a budget; empty = of all
    number("created_at", "ends_at"),
    text("reason", "author", default=""),
)

reconciliations = table(
    "reconciliations",
    key("id", kind=ID),
    number("created_at"),
    text("provider", "source"),
    text("since"),  # ISO dates
    text("until"),
    number("billed_nano_usd", "booked_nano_usd"),
    text("detail"),  # JSON: drift by model and day
)
Index("ix_reconciliations_created", reconciliations.c.created_at)
