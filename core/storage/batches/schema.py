"""The tables of batches and of callers' files."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary

from core.storage.columns import ID, flag, key, number, reference, small, table, text

stored_files = table(
    "stored_files",
    key("id", kind=ID),
    text("key_id", default=""),
    text("purpose", "filename"),
    number("n_bytes", "created_at", "expires_at"),
    flag("is_whole"),  # 0 = it is being sent
    text("batch_id", "part", default=""),  # its bytes are the results of these lines
)
Index("ix_stored_files_created", stored_files.c.created_at)

# In pieces of one size, so that a line is found by its place.
file_chunks = table(
    "file_chunks",
    reference("file_id", "stored_files.id", is_key=True),
    key("position", kind=Integer),
    Column("bytes", LargeBinary, nullable=False),
)

batches = table(
    "batches",
    key("id", kind=ID),
    text("key_id", default=""),
    Column("input_file_id", ID, nullable=False),
    text("endpoint", "status", "phase"),
    small("n_starts", default="0"),
    Column("owner", ID, nullable=False, server_default=""),  # the process that works on it
    number("created_at", "expires_at"),
    number("in_progress_at", "finalizing_at", "cancelling_at", "ended_at", optional=True),
    text("errors", default="[]"),  # JSON
    text("metadata", optional=True),  # JSON
    text("headers", default="{}"),  # JSON
    flag("is_brief"),
    number("output_s"),
    text("model", default=""),
    small("n_total", "n_ok", "n_failed", default="0"),
    text("output_file_id", "error_file_id", default=""),
    text("usage", optional=True),  # JSON
    text("vendor_model", "vendor_id", default=""),
    number("vendor_at", optional=True),
    CheckConstraint("status IN ('queued', 'running', 'ended')", name="batch_status"),
)
Index("ix_batches_created", batches.c.created_at)
Index("ix_batches_status", batches.c.status)

batch_lines = table(
    "batch_lines",
    reference("batch_id", "batches.id", is_key=True),
    key("line", kind=Integer),
    text("custom_id"),
    number("offset", "n_bytes"),
    text("state", default="waiting"),
    small("start", "n_tries", default="0"),
    number("asked_at", optional=True),
    number("worst_nano", default="0"),
    Column("generation_id", ID),
    Column("result", LargeBinary),  # its line of the output
    CheckConstraint("state IN ('waiting', 'running', 'ok', 'failed')", name="batch_line_state"),
)
Index("ix_batch_lines_state", batch_lines.c.batch_id, batch_lines.c.state, batch_lines.c.line)
