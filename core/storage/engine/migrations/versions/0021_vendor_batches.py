"""Batches that are handed over to their vendor."""

from core.storage.engine.migrations.declared import add, number, text

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    add("batches", text("vendor_model", "vendor_id", default=""), number("vendor_at", optional=True))
