"""Commands for keys: of a team's own programs, and of vendors; and for teams' limits."""
