"""Money as frames: budgets, prices, and what was spent on what."""
