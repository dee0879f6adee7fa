"""Servers that speak the providers' wire formats."""
