"""Experiments, their units and sums, and aliases."""
