"""The nouns of who acts: actors and their roles, what they changed."""
