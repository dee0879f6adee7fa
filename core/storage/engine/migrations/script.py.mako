"""${message}"""

from alembic import op

from core.storage.engine.migrations.declared import add, create, number, small, text

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
