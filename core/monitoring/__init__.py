"""What happened, what it cost: read from rollups."""
