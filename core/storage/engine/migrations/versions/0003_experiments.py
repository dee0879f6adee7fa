"""Experiments: designs, phases, units with their totals, sums instead of scans; aliases; answers to repeated requests."""

import hashlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, create, double, ident, number, small, text

revision = "0003"
down_revision = "0002"

_CHUNK = 2000


def upgrade() -> None:
    add(
        "experiments", text("design", default="{}"), number("acknowledged_at", optional=True), text("ended", default="")
    )
    create(
        "aliases",
        text("name", "target"),
        ident("rollout_id", optional=True),
        number("changed_at"),
        text("note", default=""),
        key=["name"],
    )
    create(
        "idempotency_keys",
        text("scope", "key", "digest", "answer"),
        number("created_at"),
        key=["scope", "key"],
    )
    create(
        "experiment_days",
        ident("experiment_id"),
        small("phase", "position"),
        number("day_at", "n_exposed", "n_outcomes", "n_successes"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["experiment_id", "phase", "position", "day_at"],
    )
    create(
        "experiment_looks",
        ident("experiment_id"),
        small("phase"),
        number("n", "at"),
        text("sums"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["experiment_id", "phase", "n"],
    )
    create(
        "experiment_outcomes",
        ident("id", "experiment_id"),
        small("phase"),
        small("position", optional=True),
        ident("assignment_id", optional=True),
        sa.Column("generation_id", sa.String(length=60), nullable=True),
        small("success", optional=True),
        sa.Column("rating", sa.Float(), nullable=True),
        sa.Column("number", sa.Float(), nullable=True),
        text("text", optional=True),
        text("state"),
        number("created_at"),
        sa.CheckConstraint("state IN ('counted', 'replaced', 'late', 'orphan', 'excluded')", name="outcome_state"),
        sa.CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name="outcome_rating"),
        sa.CheckConstraint("success IS NULL OR success IN (0, 1)", name="outcome_success"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
    )
    op.create_index(
        "ix_experiment_outcomes_created", "experiment_outcomes", ["experiment_id", "created_at"], unique=False
    )
    op.create_index(
        "ix_experiment_outcomes_generation",
        "experiment_outcomes",
        ["generation_id"],
        sqlite_where=sa.text("generation_id IS NOT NULL"),
        postgresql_where=sa.text("generation_id IS NOT NULL"),
    )
    create(
        "experiment_phases",
        ident("experiment_id"),
        small("phase"),
        number("started_at"),
        number("ended_at", optional=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["experiment_id", "phase"],
    )
    create(
        "experiment_runs",
        ident("run_id", "experiment_id", "assignment_id"),
        text("status", optional=True),
        number("latency_us", default="0"),
        number("cost_nano_usd", optional=True),
        number("input_tokens", "output_tokens", default="0"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["run_id"],
    )
    op.create_index(
        "ix_experiment_runs_assignment", "experiment_runs", ["experiment_id", "assignment_id"], unique=False
    )
    create(
        "experiment_sums",
        ident("experiment_id"),
        small("phase", "position"),
        text("metric"),
        number("n"),
        double("mean_x", "mean_y", "m_xx", "m_xy", "m_yy", "origin"),
        sa.Column("histogram", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["experiment_id", "phase", "position", "metric"],
    )
    create(
        "experiment_units",
        ident("assignment_id", "experiment_id"),
        small("phase"),
        text("unit_id"),
        small("position"),
        text("reason", default=""),
        number("created_at"),
        number("n_exposed", "n_multiple", "n_outcomes", "n_successes", "n_ratings", default="0"),
        double("rating_sum", default="0"),
        number("n_numbers", default="0"),
        double("number_sum", default="0"),
        number("n_calls", "n_errors", "n_ok", default="0"),
        double("latency_sum_s", "log_latency_sum", default="0"),
        number("first_latency_us", "n_priced", "cost_nano_usd", "tokens", default="0"),
        sa.CheckConstraint("reason IN ('', 'forced', 'internal', 'outside')", name="unit_reason"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["assignment_id"],
    )
    op.create_index("ix_experiment_units_created", "experiment_units", ["experiment_id", "created_at"])
    create(
        "experiment_variants",
        ident("experiment_id"),
        small("phase", "position"),
        text("name", "model"),
        text("system", optional=True),
        text("parameters", default="{}"),
        small("weight"),
        text("prompt_version", "workflow", default=""),
        small("is_shadow", default="0"),
        sa.CheckConstraint("weight >= 0", name="variant_weight"),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], ondelete="CASCADE"),
        key=["experiment_id", "phase", "position"],
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
