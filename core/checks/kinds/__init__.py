"""The kinds of checks, one module a family: each takes what is given and says what it finds. Pure."""
