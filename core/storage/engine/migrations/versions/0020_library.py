"""Prompts and datasets with their versions, the prompt that a call was made of, and what aliases stood for before."""

import sqlalchemy as sa
from alembic import op

from core.storage.engine.migrations.declared import add, create, ident, number, small, text

revision = "0020"
down_revision = "0019"


def _of(name: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([name], [to], ondelete="CASCADE")


def upgrade() -> None:
    create("prompts", text("name"), number("created_at"), key=["name"])
    create(
        "prompt_versions",
        text("prompt"), small("number"), text("digest", "content"), number("created_at"), text("note", "author", default=""),
        _of("prompt", "prompts.name"),
        sa.UniqueConstraint("prompt", "digest", name="prompt_version_once"),
        key=["prompt", "number"],
    )  # fmt: skip
    create(
        "prompt_labels",
        text("prompt", "label"),
        small("number"),
        _of("prompt", "prompts.name"),
        key=["prompt", "label"],
    )
    create(
        "prompt_label_moves",
        ident("id"), text("prompt", "label"), small("number", "was", optional=True), number("moved_at"),
        text("author", "run_id", default=""),
        _of("prompt", "prompts.name"),
    )  # fmt: skip
    op.create_index("ix_prompt_label_moves_prompt", "prompt_label_moves", ["prompt", "moved_at"])
    create("datasets", text("name"), number("created_at"), key=["name"])
    create(
        "dataset_versions",
        ident("id"), text("dataset"), small("number", optional=True), text("digest", optional=True),
        number("n_rows", "n_without_checks", default="0"), number("created_at"),
        text("columns", default="[]"), text("layout", default="{}"), text("note", "author", "origin", default=""),
        _of("dataset", "datasets.name"),
        sa.UniqueConstraint("dataset", "number", name="dataset_version_number"),
        sa.UniqueConstraint("dataset", "digest", name="dataset_version_once"),
    )  # fmt: skip
    create("dataset_rows", ident("id"), text("content"))
    create(
        "dataset_version_rows",
        ident("version_id"), small("position"), ident("row_id"), small("copy", default="1"), text("source", default=""),
        _of("version_id", "dataset_versions.id"),
        key=["version_id", "position"],
    )  # fmt: skip
    op.create_index("ix_dataset_version_rows_row", "dataset_version_rows", ["row_id"])
    add("generations", text("prompt_version", default=""))
    is_named = {name: sa.text("prompt_version != ''") for name in ("sqlite_where", "postgresql_where")}
    op.create_index(
        "ix_generations_prompt_version_created", "generations", ["prompt_version", "created_at"], **is_named
    )
    create(
        "alias_targets", ident("id"), text("name", "target"), number("changed_at"), text("note", "author", "run_id", default=""),
    )  # fmt: skip
    op.create_index("ix_alias_targets_name", "alias_targets", ["name", "changed_at"])
