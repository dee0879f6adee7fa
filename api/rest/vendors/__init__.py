"""Vendors' keys and deployments by HTTP."""
