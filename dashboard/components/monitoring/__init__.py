"""Parts of Monitoring."""
