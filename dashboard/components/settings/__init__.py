"""Parts of Settings."""
