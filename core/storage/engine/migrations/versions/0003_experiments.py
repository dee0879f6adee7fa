"""Experiments: designs, phases, units with their totals, sums instead of scans; aliases; answers to repeated requests."""

import hashlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_CHUNK = 2000


def upgrade() -> None:
    op.add_column("experiments", sa.Column("design", sa.Text(), server_default="{}", nullable=False))
    op.add_column("experiments", sa.Column("acknowledged_at", sa.BigInteger(), nullable=True))
    op.add_column("experiments", sa.Column("ended", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "aliases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("rollout_id", sa.String(length=40), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key"),
    )
    op.create_table(
        "experiment_days",
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("day_at", sa.BigInteger(), nullable=False),
        sa.Column("n_exposed", sa.BigInteger(), nullable=False),
        sa.Column("n_outcomes", sa.BigInteger(), nullable=False),
        sa.Column("n_successes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment_id", "phase", "position", "day_at"),
    )
    op.create_table(
        "experiment_looks",
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment_id", "phase", "n"),
    )
    op.create_table(
        "experiment_outcomes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("assignment_id", sa.String(length=40), nullable=True),
        sa.Column("generation_id", sa.String(length=60), nullable=True),
        sa.Column("success", sa.Integer(), nullable=True),
        sa.Column("rating", sa.Float(), nullable=True),
        sa.Column("number", sa.Float(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('counted', 'replaced', 'late', 'orphan', 'excluded')", name="outcome_state"),
        sa.CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="outcome_rating"),
        sa.CheckConstraint("success IS NULL OR success IN (0, 1)", name="outcome_success"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_experiment_outcomes_created", "experiment_outcomes", ["experiment_id", "created_at"], unique=False
    )
    op.create_index(
        "ix_experiment_outcomes_generation",
        "experiment_outcomes",
        ["generation_id"],
        unique=False,
        sqlite_where=sa.text("generation_id IS NOT NULL"),
        postgresql_where=sa.text("generation_id IS NOT NULL"),
    )
    op.create_table(
        "experiment_phases",
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment_id", "phase"),
    )
    op.create_table(
        "experiment_runs",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("assignment_id", sa.String(length=40), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("latency_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index(
        "ix_experiment_runs_assignment", "experiment_runs", ["experiment_id", "assignment_id"], unique=False
    )
    op.create_table(
        "experiment_sums",
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("mean_x", sa.Double(), nullable=False),
        sa.Column("mean_y", sa.Double(), nullable=False),
        sa.Column("m_xx", sa.Double(), nullable=False),
        sa.Column("m_xy", sa.Double(), nullable=False),
        sa.Column("m_yy", sa.Double(), nullable=False),
        sa.Column("origin", sa.Double(), nullable=False),
        sa.Column("histogram", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment_id", "phase", "position", "metric"),
    )
    op.create_table(
        "experiment_units",
        sa.Column("assignment_id", sa.String(length=40), nullable=False),
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("n_exposed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_multiple", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_outcomes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_successes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_ratings", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rating_sum", sa.Double(), server_default="0", nullable=False),
        sa.Column("n_numbers", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("number_sum", sa.Double(), server_default="0", nullable=False),
        sa.Column("n_calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_errors", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_ok", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("latency_sum_s", sa.Double(), server_default="0", nullable=False),
        sa.Column("log_latency_sum", sa.Double(), server_default="0", nullable=False),
        sa.Column("first_latency_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("n_priced", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nano_usd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("reason IN ('', 'forced', 'internal', 'outside')", name="unit_reason"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("assignment_id"),
    )
    op.create_index("ix_experiment_units_created", "experiment_units", ["experiment_id", "created_at"], unique=False)
    op.create_table(
        "experiment_variants",
        sa.Column("experiment_id", sa.String(length=40), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=True),
        sa.Column("parameters", sa.Text(), server_default="{}", nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("prompt_version", sa.Text(), server_default="", nullable=False),
        sa.Column("workflow", sa.Text(), server_default="", nullable=False),
        sa.Column("is_shadow", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("weight >= 0", name="variant_weight"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("experiment_id", "phase", "position"),
    )
    _move(op.get_bind())
    op.drop_index(op.f("ix_exposures_variant"), table_name="exposures")
    op.drop_table("exposures")
    op.drop_index(op.f("ix_outcomes_created"), table_name="outcomes")
    op.drop_index(op.f("ix_outcomes_experiment"), table_name="outcomes")
    op.drop_table("outcomes")
    op.drop_table("variants")


def _move(connection: sa.Connection) -> None:
    """The sums are written at the next start, from the rows."""
    run = connection.exec_driver_sql
    run("INSERT INTO experiment_phases SELECT id, 1, created_at, NULL FROM experiments")
    run(
        "INSERT INTO experiment_variants (experiment_id, phase, position, name, model, system, parameters, weight)"
        " SELECT experiment_id, 1, position, name, model, system, parameters, weight FROM variants"
    )
    units = sa.text(
        "INSERT INTO experiment_units (assignment_id, experiment_id, phase, unit_id, position, created_at, n_exposed)"
        " VALUES (:assignment_id, :experiment_id, 1, :unit_id, :position, :created_at, :n_exposed)"
    )
    for rows in _parts(
        connection, "SELECT experiment_id, unit_id, position, created_at, 1 AS n_exposed FROM exposures"
    ):
        connection.execute(units, [row | {"assignment_id": _id(row)} for row in rows])
    outcomes = sa.text(
        "INSERT INTO experiment_outcomes (id, experiment_id, phase, position, assignment_id, generation_id, success, rating,"
        " state, created_at) VALUES (:id, :experiment_id, 1, :position, :assignment_id, :generation_id, :success, :rating,"
        " 'counted', :created_at)"
    )
    chosen = (
        "SELECT o.id, o.experiment_id, o.position, o.unit_id, o.generation_id, o.success, o.rating, o.created_at, e.unit_id AS"
        " exposed FROM outcomes o LEFT JOIN exposures e ON e.experiment_id = o.experiment_id AND e.unit_id = o.unit_id"
    )
    for rows in _parts(connection, chosen):
        connection.execute(outcomes, [row | {"assignment_id": _id(row) if row["exposed"] else None} for row in rows])
    days = (
        "INSERT INTO experiment_days SELECT experiment_id, 1, position, day_at, SUM(exposed), SUM(outcomes), SUM(successes) FROM"
        " (SELECT experiment_id, position, created_at - created_at % 86400000000 AS day_at, 1 AS exposed, 0 AS outcomes,"
        " 0 AS successes FROM exposures UNION ALL SELECT experiment_id, position, created_at - created_at % 86400000000, 0, 1,"
        " success FROM outcomes) AS both_of_them GROUP BY experiment_id, position, day_at"
    )
    connection.execute(sa.text(days))
    _move_calls(connection, units)


def _move_calls(connection: sa.Connection, units: Any) -> None:
    """A call belongs to its unit; where none is on record, to one of its own that was not exposed."""
    chosen = (
        "SELECT g.id, g.ref_id AS experiment_id, g.ref_part AS position, g.user_id AS unit_id, g.created_at, e.unit_id AS exposed"
        " FROM generations g JOIN experiments x ON x.id = g.ref_id"
        " LEFT JOIN exposures e ON e.experiment_id = g.ref_id AND e.unit_id = g.user_id"
    )
    for rows in list(_parts(connection, chosen)):
        alone = []
        for row in rows:
            if not row["exposed"]:
                row["unit_id"] = f"call:{row['id']}"
                alone.append(row | {"assignment_id": _id(row), "position": int(row["position"]), "n_exposed": 0})
        if alone:
            connection.execute(units, alone)
        moved = [{"id": row["id"], "part": _id(row)} for row in rows]
        connection.execute(sa.text("UPDATE generations SET ref_part = :part WHERE id = :id"), moved)


def _parts(connection: sa.Connection, statement: str) -> Iterator[list[dict[str, Any]]]:
    rows = [dict(row) for row in connection.execute(sa.text(statement)).mappings()]
    yield from (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))


def _id(row: dict[str, Any]) -> str:
    key = f"{row['experiment_id']}:1:c:{row['unit_id']}"
    return f"a_{hashlib.sha256(key.encode()).hexdigest()[:28]}"
