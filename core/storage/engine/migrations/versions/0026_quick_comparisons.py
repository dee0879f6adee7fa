"""Comparisons become evaluations of one item, and their candidates cells."""

import hashlib
import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, create, ident, number, small, text

revision = "0026"
down_revision = "0022"

AT_ONCE = 500
_PLAN = {
    "name": "", "dataset": "", "checks": [], "threshold": None, "repetitions": 1, "width": 16, "max_age_s": 0,
    "gate": None, "give_up_s": 600.0, "embedding_model": "", "allows_python": False, "first_try": "",
}  # fmt: skip
_CELLS = """
INSERT INTO evaluation_cells (
    run_id, item, contestant, repetition, row_id, start, state, generation_id, error, grade, cost_nano_usd, latency_us,
    finish_reason, error_class, answered_at
)
SELECT
    c.comparison_id, 0, c.position, 0, '', 1,
    CASE
        WHEN c.error IN ('interrupted', 'stopped') THEN 'waiting' WHEN c.error <> '' THEN 'error'
        WHEN c.generation_id IS NULL THEN 'running' WHEN g.status = 'ok' THEN 'answered' ELSE 'error'
    END,
    COALESCE(c.generation_id, ''), c.error,
    CASE WHEN c.error = '' AND g.status = 'ok' THEN 'unchecked' ELSE '' END,
    g.cost_nano_usd, CASE WHEN g.status = 'ok' THEN g.latency_us END,
    COALESCE(g.finish_reason, ''), CASE WHEN g.status <> 'ok' THEN COALESCE(g.error_class, '') ELSE '' END,
    CASE WHEN g.status = 'ok' THEN g.created_at + g.latency_us END
FROM candidates c LEFT JOIN generations g ON g.id = c.generation_id
"""
_OF = "FROM generations g WHERE g.ref_id = evaluations.id"
_SUMS = f"""
UPDATE evaluations SET
    spent_nano_usd = (SELECT COALESCE(SUM(g.cost_nano_usd), 0) {_OF}),
    n_unpriced = (SELECT COUNT(*) {_OF} AND g.cost_nano_usd IS NULL AND g.n_attempts > 0),
    is_simulated = (SELECT CASE WHEN COUNT(*) > 0 AND MIN(g.provider) = 'simulated' AND MAX(g.provider) = 'simulated'
                                THEN 1 ELSE 0 END {_OF})
WHERE is_quick = 1
"""


def upgrade() -> None:
    connection = op.get_bind()
    add("evaluations", small("is_quick", "is_blind", default="0"))
    op.create_index("ix_evaluations_status", "evaluations", ["status"])
    _move_comparisons(connection)
    op.execute(_CELLS)
    op.execute(_SUMS)
    _move_votes(connection)
    op.drop_table("candidates")
    op.drop_table("comparisons")


def _move_comparisons(connection: sa.Connection) -> None:
    meta = sa.MetaData()
    comparisons, candidates, evaluations = (
        sa.Table(name, meta, autoload_with=connection) for name in ("comparisons", "candidates", "evaluations")
    )
    after = ""
    while True:
        c = comparisons.c
        some = sa.select(comparisons).where(c.id > after).order_by(c.id).limit(AT_ONCE)
        rows = connection.execute(some).mappings().all()
        if not rows:
            return
        after = rows[-1]["id"]
        parts: dict[str, list[Any]] = {row["id"]: [] for row in rows}
        of_these = sa.select(candidates).where(candidates.c.comparison_id.in_(parts)).order_by(candidates.c.position)
        for part in connection.execute(of_these).mappings():
            parts[part["comparison_id"]].append(part)
        connection.execute(sa.insert(evaluations), [_evaluation(row, parts[row["id"]]) for row in rows])


def _evaluation(row: Any, parts: list[Any]) -> dict[str, Any]:
    kept = ("id", "created_at", "source", "key_id", "owner", "status", "n_starts", "is_blind")
    return {name: row[name] for name in kept} | {
        "name": "", "dataset": "", "plan": _plan(row, parts), "n_items": 1, "n_cells": len(parts), "is_quick": 1,
        "limit_nano_usd": row["cap_nano_usd"],
    }  # fmt: skip


def _plan(row: Any, parts: list[Any]) -> str:
    """Its plan; of a damaged one all that there is, which is told where it is read."""
    try:
        settings, rule = [json.loads(part["settings"]) for part in parts], json.loads(row["rule"])
        contestants = [_contestant(row, part, said) for part, said in zip(parts, settings, strict=True)]
        systems = [said.get("system") for said in settings]
        digests = [
            said.get("prompt", _digest(own or row["system"])) for said, own in zip(settings, systems, strict=True)
        ]
    except (ValueError, TypeError, AttributeError):
        told = [{name: part[name] for name in ("position", "model", "settings")} for part in parts]
        return json.dumps({"damaged": {"prompt": row["prompt"], "system": row["system"], "candidates": told}})
    limit = None if row["cap_nano_usd"] is None else f"{row['cap_nano_usd']}e-9"
    quick = {
        "prompt": row["prompt"], "system": row["system"], "systems": systems, "digests": digests, "rule": rule,
        "winner": row["winner"],
    }  # fmt: skip
    return json.dumps(_PLAN | {"contestants": contestants, "limit_usd": limit, "quick": quick}, ensure_ascii=False)


def _contestant(row: Any, part: Any, said: dict[str, Any]) -> dict[str, Any]:
    system = said.get("system") or row["system"]
    literal = re.sub(r"\{\{|\}\}", lambda match: f'{{{{"{match[0]}"}}}}', system or "")
    return {
        "position": part["position"], "model": said.get("asked") or part["model"], "asked": part["model"],
        "prompt": "", "workflow": "", "function": "", "name": "", "parameters": said.get("parameters") or {},
        "content": {"messages": [{"role": "system", "text": literal}]} if system else None,
    }  # fmt: skip


def _digest(system: str | None) -> str:
    return hashlib.sha256(system.encode()).hexdigest()[:8] if system else ""


def _move_votes(connection: sa.Connection) -> None:
    """Let votes belong to evaluations."""
    if connection.dialect.name != "sqlite":
        for key in sa.inspect(connection).get_foreign_keys("votes"):
            op.drop_constraint(str(key["name"]), "votes")
        to = ("votes_comparison_id_fkey", "votes", "evaluations", ["comparison_id"], ["id"])
        op.create_foreign_key(*to, ondelete="CASCADE")
        return
    op.drop_index("ix_votes_created", "votes")
    op.rename_table("votes", "votes_before")
    create(
        "votes",
        ident("id", "comparison_id"),
        text("voter"),
        number("created_at"),
        small("position_a", "position_b"),
        text("choice"),
        small("is_blind"),
        small("shown_first", optional=True),
        sa.CheckConstraint("choice IN ('a', 'b', 'tie', 'both_bad', 'skip')", name="vote_choice"),
        sa.CheckConstraint("position_a < position_b", name="vote_two_candidates"),
        sa.ForeignKeyConstraint(["comparison_id"], ["evaluations.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("comparison_id", "voter", "position_a", "position_b", name="vote_once"),
    )
    columns = "id, comparison_id, voter, created_at, position_a, position_b, choice, is_blind, shown_first"
    op.execute(f"INSERT INTO votes ({columns}) SELECT {columns} FROM votes_before")
    op.drop_table("votes_before")
    op.create_index("ix_votes_created", "votes", ["created_at"])
