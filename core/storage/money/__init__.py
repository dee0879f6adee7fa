"""Budgets, the ledger, prices and bills."""
