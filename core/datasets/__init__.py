"""Datasets: cases read from files and from the log, kept in versions, and given back."""
