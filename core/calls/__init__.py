"""The one path that every model call takes."""
