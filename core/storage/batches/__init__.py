"""Batches, their lines, and the files that callers keep."""
