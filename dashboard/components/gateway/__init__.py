"""Parts of the Gateway page."""
