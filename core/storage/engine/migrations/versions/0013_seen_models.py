"""Models in the order in which they were first seen, from which their colours follow."""

from core.storage.engine.migrations.declared import create, small, text

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    create("seen_models", text("provider", "model"), small("place"), key=["provider", "model"])
