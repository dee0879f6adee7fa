"""Calls on record, read back: one, a page of them, a search, a count."""
