"""The edge: what is done for every request of a program before its key is read."""
