"""Deployments of vendors with their keys, and which of them answered a call."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, create, number, small, text

revision = "0031"
down_revision = "0029"


def upgrade() -> None:
    create(
        "deployments",
        text("name", "vendor", "kind", "url"),
        text("api_version", default=""),
        text("models", default="{}"),
        small("weight", "priority", default="1"),
        small("rest_s", default="60"),
        small("is_private", default="0"),
        small("is_enabled", default="1"),
        text("secret"),
        text("hint", default=""),
        number("revision", default="1"),
        number("created_at", "rotated_at"),
        sa.CheckConstraint("weight >= 0 AND priority >= 1 AND rest_s >= 0", name="deployment_numbers"),
        key=("name",),
    )
    add("breakers", text("code", default=""), number("asks_at", default="0"))
    add("generations", text("deployment", default=""))
    is_named = sa.text("deployment <> ''")
    op.create_index(
        "ix_generations_deployment_created", "generations", ["deployment", "created_at"],
        sqlite_where=is_named, postgresql_where=is_named,
    )  # fmt: skip
