"""The engine over HTTP: thin, on the dashboard's own port."""
