"""Limits on spend per period: where each stands, and whether a call may start."""
