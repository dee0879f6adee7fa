"""Numbers in, named results out. Pure."""
