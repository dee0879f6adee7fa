"""Prompts and datasets on pages."""
