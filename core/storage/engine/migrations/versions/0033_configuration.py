"""The things that a file of configuration manages."""

from core.storage.engine.migrations.declared import create, number, text

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    create("managed_things", text("kind", "name", "source"), number("applied_at"), key=["kind", "name"])
