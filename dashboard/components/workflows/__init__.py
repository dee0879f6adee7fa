"""Parts of Workflows."""
