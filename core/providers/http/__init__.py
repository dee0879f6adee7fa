"""HTTP to the vendors."""
