"""Databases as wholes: backups, restoring them, and copies into another database."""
