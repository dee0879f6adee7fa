"""People: the actor of an entry of the audit, from where, before and after."""

from alembic import op

from core.storage.engine.migrations.declared import add, text

revision = "0030"
down_revision = "0028"
_KINDS = {"calls": "price", "split": "experiment", "rollout": "alias"}


def upgrade() -> None:
    add("audit", text("kind", "actor", "actor_id", "role", "door", "address", default=""))
    add("audit", text("outcome", default="done"), text("before", "after", optional=True))
    op.drop_index("ix_audit_created", "audit")
    op.create_index("ix_audit_created", "audit", ["created_at", "id"])
    for first in (
        "budget",
        "key",
        "price",
        "catalogue",
        "alias",
        "experiment",
        "prompt",
        "dataset",
        "baseline",
        *_KINDS,
    ):
        kind = _KINDS.get(first, first)
        op.execute(f"UPDATE audit SET kind = '{kind}' WHERE action LIKE '{first} %'")
