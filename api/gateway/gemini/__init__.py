"""The Gemini wire."""
