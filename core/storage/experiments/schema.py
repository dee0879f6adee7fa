"""The tables of experiments and aliases, beside those of schema.py."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from core.statistics.sums import REAL_TOTALS, TOTALS
from core.storage.schema import metadata

experiments = Table(
    "experiments",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    Column("hypothesis", Text, nullable=False, server_default=""),
    Column("unit", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("stopped_at", BigInteger),
    Column("is_demo", Integer, nullable=False, server_default="0"),
    Column("design", Text, nullable=False, server_default="{}"),
    Column("acknowledged_at", BigInteger),
    Column("ended", Text, nullable=False, server_default=""),
    CheckConstraint("status IN ('running', 'stopped')", name="experiment_status"),
)

experiment_phases = Table(
    "experiment_phases",
    metadata,
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)

experiment_variants = Table(
    "experiment_variants",
    metadata,
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("system", Text),
    Column("parameters", Text, nullable=False, server_default="{}"),
    Column("weight", Integer, nullable=False),
    Column("prompt_version", Text, nullable=False, server_default=""),
    Column("workflow", Text, nullable=False, server_default=""),
    Column("is_shadow", Integer, nullable=False, server_default="0"),
    CheckConstraint("weight >= 0", name="variant_weight"),
)

# Who was given what, and the totals of each unit: what was randomised is what is counted.
experiment_units = Table(
    "experiment_units",
    metadata,
    Column("assignment_id", String(40), primary_key=True),
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("phase", Integer, nullable=False),
    Column("unit_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),  # why it is not counted; empty = it is
    Column("created_at", BigInteger, nullable=False),
    *(
        Column(name, Double if name in REAL_TOTALS else BigInteger, nullable=False, server_default="0")
        for name in TOTALS
    ),
    CheckConstraint("reason IN ('', 'forced', 'internal', 'outside')", name="unit_reason"),
)
Index("ix_experiment_units_created", experiment_units.c.experiment_id, experiment_units.c.created_at)

experiment_outcomes = Table(
    "experiment_outcomes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("phase", Integer, nullable=False),
    Column("position", Integer),  # NULL: an orphan, of no known variant
    Column("assignment_id", String(40)),  # NULL: recorded of a variant alone, a unit of its own
    Column("generation_id", String(60)),
    Column("success", Integer),
    Column("rating", Float),
    Column("number", Float),
    Column("text", Text),
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
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
experiment_runs = Table(
    "experiment_runs",
    metadata,
    Column("run_id", String(40), primary_key=True),
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), nullable=False),
    Column("assignment_id", String(40), nullable=False),
    Column("status", Text),  # NULL: it is not over yet; then ok or error
    Column("latency_us", BigInteger, nullable=False, server_default="0"),
    Column("cost_nano_usd", BigInteger),
    Column("input_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_tokens", BigInteger, nullable=False, server_default="0"),
)
Index("ix_experiment_runs_assignment", experiment_runs.c.experiment_id, experiment_runs.c.assignment_id)

# Sufficient statistics of pairs (x, y), one pair a unit; position -1: what is not counted.
experiment_sums = Table(
    "experiment_sums",
    metadata,
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    *(Column(name, Double, nullable=False) for name in ("mean_x", "mean_y", "m_xx", "m_xy", "m_yy", "origin")),
    Column("histogram", LargeBinary),
)

experiment_days = Table(
    "experiment_days",
    metadata,
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("day_at", BigInteger, primary_key=True),
    Column("n_exposed", BigInteger, nullable=False),
    Column("n_outcomes", BigInteger, nullable=False),
    Column("n_successes", BigInteger, nullable=False),
)

# The sums as they were, kept each time they had grown by a twentieth: some hundred rows, however many outcomes.
experiment_looks = Table(
    "experiment_looks",
    metadata,
    Column("experiment_id", String(40), ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column(
        "sums", Text, nullable=False
    ),  # JSON {position: [n, mean_x, mean_y, m_xx, m_xy, m_yy, origin]} of the primary metric
)

aliases = Table(
    "aliases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("target", Text, nullable=False),  # JSON: model, system, parameters, prompt_version
    Column("rollout_id", String(40)),  # the experiment that brings in another target; NULL = none runs
    Column("changed_at", BigInteger, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
)
