"""Side by side: one prompt, several models, votes and a winner rule that is open."""
