"""Heals demo calls: columns that the demo left out were written as a number without meaning."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # JSON lists begin with a bracket; what was written instead is digits.
    for column in ("tools", "tool_calls"):
        op.execute(f"UPDATE generation_bodies SET {column} = NULL WHERE {column} NOT LIKE '[%'")
    op.execute("UPDATE generations SET operation = 'chat' WHERE operation NOT IN ('chat', 'embeddings')")
