"""A vendor's deployments: built by their kind, and chosen for each call."""
