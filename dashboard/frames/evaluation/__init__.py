"""Evaluations as their pages read them."""
