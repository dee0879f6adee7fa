"""Alert rules, their states, silences, and the order of messages about the same."""

import sqlalchemy as sa

from core.storage.engine.migrations.declared import add, create, double, ident, number, small, text

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    create(
        "alert_rules",
        text("name", "definition"),
        small("is_on", default="0"),
        number("checked_at", default="0"),
        key=["name"],
    )
    create(
        "alert_rule_states",
        text("rule", "subject", "state"),
        number("since", "seen_at"),
        number("clear_at", optional=True),
        double("value", optional=True),
        text("text", default=""),
        small("is_told", default="0"),
        text("event", default=""),
        sa.CheckConstraint("state IN ('ok', 'pending', 'firing', 'resolved')", name="alert_rule_state"),
        sa.ForeignKeyConstraint(["rule"], ["alert_rules.name"], ondelete="CASCADE"),
        key=["rule", "subject"],
    )
    create(
        "alert_silences",
        ident("id"),
        text("name", default=""),
        number("created_at", "ends_at"),
        text("reason", "author", default=""),
    )
    add("deliveries", text("about", default=""))
