"""Alerts: their rules, their state, and how they are delivered."""
