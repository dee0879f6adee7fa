"""The tables of evaluations."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, Integer

from core.storage.columns import ID, flag, key, number, reference, small, table, text

evaluations = table(
    "evaluations",
    key("id", kind=ID),
    text("name", "status"),
    text("reason", "source", "key_id", "author", default=""),
    small("n_starts", default="0"),
    Column("owner", ID, nullable=False, server_default=""),
    number("created_at"),
    number("ended_at", optional=True),
    text("plan"),  # JSON
    text("dataset"),
    small("n_items", "n_cells"),
    small("n_try", default="1"),
    flag("is_simulated", "is_quick", "is_blind"),
    number("limit_nano_usd", optional=True),
    number("spent_nano_usd", "reserved_nano_usd", "n_unpriced", default="0"),
    text("waiting", default="{}"),  # JSON
    text("judged", default=""),  # JSON, the gate's answer
    CheckConstraint("status IN ('queued', 'running', 'paused', 'stopped', 'finished')", name="evaluation_status"),
    CheckConstraint("reserved_nano_usd >= 0", name="evaluation_reserved"),
)
Index("ix_evaluations_created", evaluations.c.created_at)
Index("ix_evaluations_status", evaluations.c.status)
Index("ix_evaluations_name", evaluations.c.name, evaluations.c.created_at)

# Parts of a run that processes work on side by side, each a span of its items.
evaluation_shards = table(
    "evaluation_shards",
    key("id", kind=ID),
    reference("run_id", "evaluations.id"),
    small("first_item", "n_items"),
    text("status"),
    small("n_starts", default="0"),
    Column("owner", ID, nullable=False, server_default=""),
    number("created_at"),
    CheckConstraint("status IN ('queued', 'running', 'ended')", name="evaluation_shard_status"),
)
Index("ix_evaluation_shards_run", evaluation_shards.c.run_id)
Index("ix_evaluation_shards_status", evaluation_shards.c.status)

evaluation_cells = table(
    "evaluation_cells",
    reference("run_id", "evaluations.id", is_key=True),
    key("item", "contestant", "repetition", kind=Integer),
    Column("row_id", ID, nullable=False),
    Column("work", ID, nullable=False, server_default=""),  # the same for identical cells of any run
    text("state", default="waiting"),
    small("start", "n_tries", default="0"),
    Column("shard_id", ID, nullable=False, server_default=""),
    number("asked_at", "answered_at", optional=True),
    number("worst_nano_usd", default="0"),
    Column("generation_id", ID, nullable=False, server_default=""),
    flag("is_reused"),
    text("grade", default=""),  # pass, fail, unchecked, error; empty = the checks have not run
    Column("score", Double),
    text("scores", default=""),  # JSON
    number("cost_nano_usd", "latency_us", optional=True),
    text("finish_reason", "error_class", "error", default=""),
    text("output", optional=True),  # of a function or a workflow; a model's is with its call
    CheckConstraint("state IN ('waiting', 'running', 'answered', 'error', 'skipped')", name="evaluation_cell_state"),
)
Index(
    "ix_evaluation_cells_state",
    evaluation_cells.c.run_id, evaluation_cells.c.state, evaluation_cells.c.contestant, evaluation_cells.c.item,
)  # fmt: skip
Index("ix_evaluation_cells_work", evaluation_cells.c.work, evaluation_cells.c.answered_at)

baselines = table(
    "baselines",
    key("name"),
    reference("run_id", "evaluations.id"),
    number("moved_at"),
    text("author", default=""),
)

baseline_moves = table(
    "baseline_moves",
    key("name"),
    key("moved_at", kind=BigInteger),
    text("run_id"),
    text("was", "author", default=""),
)
