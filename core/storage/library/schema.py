"""The tables of prompts and datasets."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Text
from sqlalchemy import UniqueConstraint as Unique

from core.storage.columns import ID, key, number, reference, small, table, text


def _of(name: str, to: str, *, is_key: bool = False) -> Column[str]:
    """The name of what a row belongs to; it goes with it."""
    return Column(name, Text, ForeignKey(to, ondelete="CASCADE"), primary_key=is_key, nullable=False)


prompts = table("prompts", key("name"), number("created_at"))

prompt_versions = table(
    "prompt_versions",
    _of("prompt", "prompts.name", is_key=True),
    key("number", kind=Integer),
    text("digest", "content"),  # content: JSON
    number("created_at"),
    text("note", "author", default=""),
    Unique("prompt", "digest", name="prompt_version_once"),
)

prompt_labels = table(
    "prompt_labels",
    _of("prompt", "prompts.name", is_key=True),
    key("label"),
    small("number"),
)

prompt_label_moves = table(
    "prompt_label_moves",
    key("id", kind=ID),
    _of("prompt", "prompts.name"),
    text("label"),
    small("number", "was", optional=True),  # number NULL: it was taken away; was NULL: it was new
    number("moved_at"),
    text("author", "run_id", default=""),
)
Index("ix_prompt_label_moves_prompt", prompt_label_moves.c.prompt, prompt_label_moves.c.moved_at)

datasets = table("datasets", key("name"), number("created_at"))

dataset_versions = table(
    "dataset_versions",
    key("id", kind=ID),
    _of("dataset", "datasets.name"),
    small("number", optional=True),  # NULL with digest: its rows are being written
    text("digest", optional=True),
    number("n_rows", "n_without_checks", default="0"),
    number("created_at"),
    text("columns", default="[]"),  # JSON
    text("layout", default="{}"),  # JSON: the form in which it came, for export
    text("note", "author", "origin", default=""),
    Unique("dataset", "number", name="dataset_version_number"),
    Unique("dataset", "digest", name="dataset_version_once"),
)

# A row is kept once, whatever versions hold it.
dataset_rows = table("dataset_rows", key("id", kind=ID), text("content"))  # JSON

dataset_version_rows = table(
    "dataset_version_rows",
    reference("version_id", "dataset_versions.id", is_key=True),
    key("position", kind=Integer),
    Column("row_id", ID, nullable=False),
    small("copy", default="1"),  # the how manieth row of this content it is
    text("source", default=""),  # the record as it came, where the content does not give it back
)
Index("ix_dataset_version_rows_row", dataset_version_rows.c.row_id)
