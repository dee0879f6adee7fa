"""The person who changes something."""

from dashboard.visitors.voter import voter


def author() -> str:
    """The name of a login; empty where nobody logs in by name."""
    kind, _, name = voter().partition(":")
    return name if kind == "user" else ""
