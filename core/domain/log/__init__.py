"""The log: which calls are meant, and sessions of them."""
