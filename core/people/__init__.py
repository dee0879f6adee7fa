"""People and their roles, and the audit of what they change."""
