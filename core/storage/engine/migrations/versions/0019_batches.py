"""Batches, their lines, and the files that callers keep."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import create, ident, number, small, text

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    create(
        "stored_files",
        ident("id"),
        text("key_id", default=""),
        text("purpose", "filename"),
        number("n_bytes", "created_at", "expires_at"),
        small("is_whole", default="0"),
        text("batch_id", "part", default=""),
    )
    op.create_index("ix_stored_files_created", "stored_files", ["created_at"])
    create(
        "file_chunks",
        ident("file_id"),
        small("position"),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["stored_files.id"], ondelete="CASCADE"),
        key=["file_id", "position"],
    )
    create(
        "batches",
        ident("id"),
        text("key_id", default=""),
        ident("input_file_id"),
        text("endpoint", "status", "phase"),
        small("n_starts", default="0"),
        ident("owner", default=""),
        number("created_at", "expires_at"),
        number("in_progress_at", "finalizing_at", "cancelling_at", "ended_at", optional=True),
        text("errors", default="[]"),
        text("metadata", optional=True),
        text("headers", default="{}"),
        small("is_brief", default="0"),
        number("output_s"),
        text("model", default=""),
        small("n_total", "n_ok", "n_failed", default="0"),
        text("output_file_id", "error_file_id", default=""),
        text("usage", optional=True),
        sa.CheckConstraint("status IN ('queued', 'running', 'ended')", name="batch_status"),
    )
    op.create_index("ix_batches_created", "batches", ["created_at"])
    op.create_index("ix_batches_status", "batches", ["status"])
    create(
        "batch_lines",
        ident("batch_id"),
        small("line"),
        text("custom_id"),
        number("offset", "n_bytes"),
        text("state", default="waiting"),
        small("start", "n_tries", default="0"),
        number("asked_at", optional=True),
        number("worst_nano", default="0"),
        ident("generation_id", optional=True),
        sa.Column("result", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('waiting', 'running', 'ok', 'failed')", name="batch_line_state"),
        key=["batch_id", "line"],
    )
    op.create_index("ix_batch_lines_state", "batch_lines", ["batch_id", "state", "line"])
