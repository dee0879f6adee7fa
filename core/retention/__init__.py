"""Retention: texts and calls that are older than they are kept are deleted; users are forgotten."""
