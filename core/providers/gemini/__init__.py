"""Gemini, by its own client and by its wire."""
