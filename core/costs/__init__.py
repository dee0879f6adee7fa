"""Prices as a team keeps them: its own rows, newer catalogues, models without a price, and past calls charged anew."""
