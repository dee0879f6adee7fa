"""The audit of changes: the tables that are watched, and the audit."""
