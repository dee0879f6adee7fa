"""Calls and what is summed up from them."""
