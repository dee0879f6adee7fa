"""Usage x dated price -> cost, with its formula. Pure: no clock, no files, no network."""
