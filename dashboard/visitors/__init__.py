"""The people who look at the pages."""
