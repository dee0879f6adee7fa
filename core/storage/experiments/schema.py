"""The tables of experiments and aliases, beside those of schema.py."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Float, Index, Integer, LargeBinary, String

from core.statistics.experiments.sums import REAL_TOTALS, TOTALS
from core.storage.columns import ID, flag, key, number, reference, small, table, text

experiments = table(
    "experiments",
    key("id", kind=ID),
    text("name"),
    text("hypothesis", default=""),
    text("unit", "salt", "status"),
    number("created_at"),
    number("stopped_at", optional=True),
    flag("is_demo"),
    text("design", default="{}"),
    number("acknowledged_at", optional=True),
    text("ended", default=""),
    CheckConstraint("status IN ('running', 'stopped')", name="experiment_status"),
)

experiment_phases = table(
    "experiment_phases",
    reference("experiment_id", "experiments.id", is_key=True),
    key("phase", kind=Integer),
    number("started_at"),
    number("ended_at", optional=True),
)

experiment_variants = table(
    "experiment_variants",
    reference("experiment_id", "experiments.id", is_key=True),
    key("phase", "position", kind=Integer),
    text("name", "model"),
    text("system", optional=True),
    text("parameters", default="{}"),
    small("weight"),
    text("prompt_version", "workflow", default=""),
    flag("is_shadow"),
    CheckConstraint("weight >= 0", name="variant_weight"),
)

# Who was given what, and the totals of each unit: what was randomised is what is counted.
experiment_units = table(
    "experiment_units",
    key("assignment_id", kind=ID),
    reference("experiment_id", "experiments.id"),
    small("phase"),
    text("unit_id"),
    small("position"),
    text("reason", default=""),  # why it is not counted; empty = it is
    number("created_at"),
    *(
        Column(name, Double if name in REAL_TOTALS else BigInteger, nullable=False, server_default="0")
        for name in TOTALS
    ),
    CheckConstraint("reason IN ('', 'forced', 'internal', 'outside')", name="unit_reason"),
)
Index("ix_experiment_units_created", experiment_units.c.experiment_id, experiment_units.c.created_at)

experiment_outcomes = table(
    "experiment_outcomes",
    key("id", kind=ID),
    reference("experiment_id", "experiments.id"),
    small("phase"),
    small("position", optional=True),  # NULL: an orphan, of no known variant
    Column("assignment_id", ID),  # NULL: recorded of a variant alone, a unit of its own
    Column("generation_id", String(60)),
    small("success", optional=True),
    Column("rating", Float),
    Column("number", Float),
    text("text", optional=True),
    text("state"),
    number("created_at"),
    CheckConstraint("success IS NULL OR success IN (0, 1)", name="outcome_success"),
    CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="outcome_rating"),
    CheckConstraint("state IN ('counted', 'replaced', 'late', 'orphan', 'excluded')", name="outcome_state"),
)
Index("ix_experiment_outcomes_created", experiment_outcomes.c.experiment_id, experiment_outcomes.c.created_at)
Index(
    "ix_experiment_outcomes_generation",
    experiment_outcomes.c.generation_id,
    sqlite_where=experiment_outcomes.c.generation_id.is_not(None),
    postgresql_where=experiment_outcomes.c.generation_id.is_not(None),
)

# Workflow runs that answered a unit; counted like one call once they are over.
experiment_runs = table(
    "experiment_runs",
    key("run_id", kind=ID),
    reference("experiment_id", "experiments.id"),
    Column("assignment_id", ID, nullable=False),
    text("status", optional=True),  # NULL: it is not over yet; then ok or error
    number("latency_us", default="0"),
    number("cost_nano_usd", optional=True),
    number("input_tokens", "output_tokens", default="0"),
)
Index("ix_experiment_runs_assignment", experiment_runs.c.experiment_id, experiment_runs.c.assignment_id)

# Sufficient statistics of pairs (x, y), one pair a unit; position -1: what is not counted.
experiment_sums = table(
    "experiment_sums",
    reference("experiment_id", "experiments.id", is_key=True),
    key("phase", "position", kind=Integer),
    key("metric"),
    number("n"),
    *(Column(name, Double, nullable=False) for name in ("mean_x", "mean_y", "m_xx", "m_xy", "m_yy", "origin")),
    Column("histogram", LargeBinary),
)

experiment_days = table(
    "experiment_days",
    reference("experiment_id", "experiments.id", is_key=True),
    key("phase", "position", kind=Integer),
    key("day_at", kind=BigInteger),
    number("n_exposed", "n_outcomes", "n_successes"),
)

# The sums as they were, kept each time they had grown by a twentieth: some hundred rows, however many outcomes.
experiment_looks = table(
    "experiment_looks",
    reference("experiment_id", "experiments.id", is_key=True),
    key("phase", kind=Integer),
    key("n", kind=BigInteger),
    number("at"),
    # JSON {position: [n, mean_x, mean_y, m_xx, m_xy, m_yy, origin]} of the primary metric
    text("sums"),
)

aliases = table(
    "aliases",
    key("name"),
    text("target"),  # JSON: model, system, parameters, prompt_version
    Column("rollout_id", ID),  # the experiment that brings in another target; NULL = none runs
    number("changed_at"),
    text("note", default=""),
)

# Each target that an alias was pointed at, with the evaluation that justified it.
alias_targets = table(
    "alias_targets",
    key("id", kind=ID),
    text("name", "target"),
    number("changed_at"),
    text("note", "author", "run_id", default=""),
)
Index("ix_alias_targets_name", alias_targets.c.name, alias_targets.c.changed_at)
