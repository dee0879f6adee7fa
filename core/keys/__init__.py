"""Keys with which a team's own programs ask: made, looked up, revoked."""
