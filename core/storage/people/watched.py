"""The tables that are watched: who may write to each, what its rows are called, and what of them is never shown.

Each table of the schema is here or in `OPEN`; a test holds them against it, so that a new one is not forgotten.
"""

from typing import NamedTuple

from core.domain.people.actor import Role


class Watched(NamedTuple):
    """A table.

    kind: The noun of its rows. role: The least that may write to it.
    name: The column by which a row is called.
    is_noted: Whether each change is in the audit by itself; else the service notes the deed, or it is a part of one.
    is_part: Whether its rows belong to another's of the same kind, whose entry they are in.
    secret: Columns that are left out. quiet: Those whose change alone is no news.
    """

    kind: str
    role: Role = "editor"
    name: str = "name"
    is_noted: bool = True
    is_part: bool = False
    secret: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()


def _guarded(kind: str) -> Watched:
    return Watched(kind, is_noted=False)


WATCHED: dict[str, Watched] = {
    "budgets": Watched("budget", "admin", quiet=("is_seeded",)),
    "budget_raises": Watched("budget", "admin", is_part=True),
    "api_keys": Watched("key", "admin", secret=("digest",), quiet=("last_used_at",)),
    "deployments": Watched("deployment", "admin", secret=("secret",), quiet=("revision",)),
    "team_prices": Watched("price", "admin", name="id"),
    "catalogues": Watched("catalogue", "admin", name="version", secret=("content",)),
    "alert_rules": Watched("alert", "admin", quiet=("checked_at",)),
    "alert_silences": Watched("silence"),
    "reconciliations": Watched("reconciliation", "admin", name="source"),
    "people": Watched("person", "admin", secret=("password", "login"), quiet=("last_login_at",)),
    "teams": Watched("team", "admin"),
    "retention_rules": Watched("retention", "admin", name="scope", quiet=("changed_at",)),
    "workflows": Watched("workflow", quiet=("updated_at",)),
    "prompts": Watched("prompt"),
    "prompt_versions": Watched("prompt", name="prompt", is_part=True),
    "prompt_labels": Watched("prompt", name="prompt", is_part=True),
    "prompt_label_moves": _guarded("prompt"),
    "datasets": _guarded("dataset"),
    "dataset_versions": _guarded("dataset"),
    "dataset_rows": _guarded("dataset"),
    "dataset_version_rows": _guarded("dataset"),
    "experiments": Watched("experiment"),
    "experiment_phases": Watched("experiment", name="phase", is_part=True),
    "experiment_variants": Watched("experiment", is_part=True),
    "experiment_units": _guarded("experiment"),
    "experiment_outcomes": _guarded("experiment"),
    "aliases": Watched("alias", quiet=("changed_at",)),
    "alias_targets": _guarded("alias"),
    "baselines": Watched("baseline", quiet=("moved_at",)),
    "baseline_moves": _guarded("baseline"),
    "evaluations": _guarded("evaluation"),
    "evaluation_shards": _guarded("evaluation"),
    "evaluation_cells": _guarded("evaluation"),
    "workflow_runs": _guarded("run"),
    "batches": _guarded("batch"),
    "batch_lines": _guarded("batch"),
    "stored_files": _guarded("file"),
    "file_chunks": _guarded("file"),
    "votes": _guarded("vote"),
    "feedback": _guarded("feedback"),
}
# What calls and the machinery write for themselves. Who may ask models is decided where calls are made.
OPEN = frozenset(
    "generations generation_bodies call_tags rollups_hour rollups_day spend_by seen_models step_runs idempotency_keys"
    " budget_spend reservations price_rows alerts deliveries experiment_runs experiment_sums experiment_days"
    " experiment_looks cached_responses breakers rate_hits logins keyed_requests stored_responses response_items"
    " retention_progress retention_state deleted_rollups deleted_spend experiment_calls forgotten_users audit"
    " managed_things alert_rule_states".split()
)
# Deeds that are named otherwise than what they are done with.
_KIND_OF = {
    "password": "person",
    "calls": "price",
    "split": "experiment",
    "rollout": "alias",
    "demo": "demo",
    "batch": "batch",
}
_ROLE_OF = {each.kind: each.role for each in WATCHED.values()} | {
    "demo": "editor",
    "model": "editor",
    "comparison": "editor",
}


def kind_of(action: str) -> str:
    """The kind of what an action is done with: `prompt label moved` is done with a prompt."""
    first = action.partition(" ")[0]
    return _KIND_OF.get(first, first)


def role_for(kind: str) -> Role:
    return _ROLE_OF.get(kind, "admin")
