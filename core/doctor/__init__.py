"""Faults of an installation, and what to do about each."""
