"""Batches: many requests in one file, answered within a day, and the files that they are read from and written to."""
