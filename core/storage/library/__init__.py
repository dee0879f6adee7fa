"""Prompts and datasets: names, their versions, labels and rows."""
