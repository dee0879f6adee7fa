"""The log: calls by filter, and sessions."""
