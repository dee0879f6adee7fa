"""Pages of people and of what they changed."""
