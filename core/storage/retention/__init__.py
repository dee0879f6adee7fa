"""Retention: rules of how long calls are kept, what becomes of them, and the sums of those that are gone."""
