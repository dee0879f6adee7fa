"""Limits of teams."""

import sqlalchemy as sa

from core.storage.engine.migrations.declared import create, number, small, text

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    create(
        "teams",
        text("name"),
        small("rpm", optional=True),
        number("tpm", optional=True),
        small("max_parallel", optional=True),
        sa.CheckConstraint("rpm > 0 AND tpm > 0 AND max_parallel > 0", name="team_limits"),
        key=["name"],
    )
