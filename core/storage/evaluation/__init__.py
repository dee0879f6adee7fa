"""Evaluations and their cells."""
