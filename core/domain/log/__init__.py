"""The log: which calls are meant, sessions of them, and how long they are kept."""
