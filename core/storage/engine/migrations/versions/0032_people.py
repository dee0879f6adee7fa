"""People who log in, and of keys their owner and team."""

import sqlalchemy as sa

from core.storage.engine.migrations.declared import add, create, ident, number, text

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    create(
        "people",
        ident("id"),
        text("name"),
        [sa.Column("login", sa.String(length=200), nullable=False)],
        text("role"),
        text("team", "identity", default=""),
        text("password", optional=True),
        number("created_at"),
        number("disabled_at", "last_login_at", optional=True),
        sa.UniqueConstraint("login"),
        sa.CheckConstraint("role IN ('viewer', 'editor', 'admin')", name="person_role"),
    )
    add("api_keys", text("owner", "team", default=""))
    add("generations", text("team", default=""))
