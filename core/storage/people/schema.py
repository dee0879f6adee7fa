"""The tables of people and of their teams."""

from sqlalchemy import CheckConstraint, Column, String

from core.storage.columns import ID, key, number, small, table, text

people = table(
    "people",
    key("id", kind=ID),
    text("name"),
    Column("login", String(200), nullable=False, unique=True),  # the name without letter case, or the identity
    text("role"),
    text("team", "identity", default=""),
    text("password", optional=True),  # argon2's hash; NULL = an identity provider says who it is
    number("created_at"),
    number("disabled_at", "last_login_at", optional=True),
    CheckConstraint("role IN ('viewer', 'editor', 'admin')", name="person_role"),
)

# The limits of teams; one without any has no row.
teams = table(
    "teams",
    key("name"),
    small("rpm", optional=True),  # requests a minute of all its keys and people together; NULL = no limit
    number("tpm", optional=True),
    small("max_parallel", optional=True),
    CheckConstraint("rpm > 0 AND tpm > 0 AND max_parallel > 0", name="team_limits"),
)
