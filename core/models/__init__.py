"""Models by name, the vendors that have them, and what asking a model may cost."""
