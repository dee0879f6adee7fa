"""Configuration as code: what a file says of keys, budgets, aliases and the like, held against what there is."""
