"""Traffic, errors and spend, read from rollups."""
