"""The table of people."""

from sqlalchemy import CheckConstraint, Column, String

from core.storage.columns import ID, key, number, table, text

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
