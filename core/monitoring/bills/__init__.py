"""Vendors' bills: read, and compared with the ledger."""
