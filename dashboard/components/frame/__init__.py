"""Parts that stand around every page."""
