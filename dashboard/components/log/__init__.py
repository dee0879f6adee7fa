"""Parts of the Log."""
