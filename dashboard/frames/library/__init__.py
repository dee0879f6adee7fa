"""Prompts and datasets as data frames."""
