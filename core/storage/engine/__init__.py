"""The database itself: connections, the writer, migrations, and what every store shares."""
