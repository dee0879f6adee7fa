"""The tables of retention: its rules and progress, and sums of deleted calls, by which the other sums are proven."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index

from core.storage.columns import ID, key, number, reference, small, table, text
from core.storage.schema import hourly_sums

# How long calls are kept. A number of days that is NULL is as for all calls; 0 = for ever.
retention_rules = table(
    "retention_rules",
    key("scope"),  # all, key:ID or tag:NAME
    small("texts_days", "calls_days", optional=True),
    number("changed_at"),
    CheckConstraint("texts_days >= 0 AND calls_days >= 0", name="retention_days"),
)

# How far each rule has come. reached: calls before this moment are among the deleted.
retention_progress = table(
    "retention_progress",
    key("scope"),
    key("part"),  # texts or calls
    number("done_until", "reached", default="0"),
    number("n", default="0"),  # of all that were ever deleted
)

# One row, named now.
retention_state = table(
    "retention_state",
    key("name"),
    text("owner", default=""),  # the process that deletes
    number("clock_at", default="0"),  # the latest moment that retention believes
    number("begun_at", "ended_at", "swept_at", optional=True),
    number("n_texts", "n_calls", default="0"),  # of the last round
)

# Sums of deleted calls as the rollups have them: with the calls on record they make up the rollups.
deleted_rollups = hourly_sums("deleted_rollups")

# The same for `spend_by`, and for budgets, whose periods begin at quarters of an hour: the older, the coarser.
deleted_spend = table(
    "deleted_spend",
    key("bucket_at", kind=BigInteger),
    key("dimension"),  # those of spend_by, and all
    key("value", "model", "provider"),
    number("n", "n_ok", "input_tokens", "output_tokens", "cost_nano_usd", "n_unpriced"),
)
Index("ix_deleted_spend_value", deleted_spend.c.dimension, deleted_spend.c.value, deleted_spend.c.bucket_at)

# What experiments need of their deleted calls: numbers alone.
experiment_calls = table(
    "experiment_calls",
    key("generation_id", kind=ID),
    reference("ref_id", "experiments.id"),
    text("ref_part", "status"),
    number("input_tokens", "output_tokens", "latency_us", "created_at"),
    number("cost_nano_usd", optional=True),
    text("price_id", default=""),
)
Index("ix_experiment_calls_part", experiment_calls.c.ref_id, experiment_calls.c.ref_part)

# Users who are being forgotten, each with the name that their calls get; gone when it is done.
forgotten_users = table("forgotten_users", key("user_id"), Column("alias", ID, nullable=False), number("begun_at"))
