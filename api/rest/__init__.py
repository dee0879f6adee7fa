"""The routes of /api, by noun."""
