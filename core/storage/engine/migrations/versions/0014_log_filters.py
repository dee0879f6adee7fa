"""Calls by what they were made for: key, user, workflow and tag; and those that failed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    for column in ("key_id", "user_id", "ref_name"):
        is_named = sa.text(f"{column} <> ''")
        op.create_index(
            f"ix_generations_{column}_created", "generations", [column, "created_at"],
            sqlite_where=is_named, postgresql_where=is_named,
        )  # fmt: skip
    is_not_ok = sa.text("status <> 'ok'")
    op.create_index(
        "ix_generations_not_ok", "generations", ["created_at"], sqlite_where=is_not_ok, postgresql_where=is_not_ok
    )
    op.create_table(
        "call_tags",
        sa.Column("tag", sa.Text(), primary_key=True),
        sa.Column("created_at", sa.BigInteger(), primary_key=True),
        sa.Column("generation_id", sa.String(40), primary_key=True),
    )
    comma = f"{'instr' if op.get_bind().dialect.name == 'sqlite' else 'strpos'}(rest, ',')"
    op.execute(
        "INSERT INTO call_tags WITH RECURSIVE cut (id, at, tag, rest) AS ("
        " SELECT id, created_at, '', tags FROM generations WHERE tags <> '' UNION ALL"
        f" SELECT id, at, substr(rest, 1, {comma} - 1), substr(rest, {comma} + 1) FROM cut WHERE {comma} > 0"
        ") SELECT DISTINCT tag, at, id FROM cut WHERE tag <> ''"
    )
