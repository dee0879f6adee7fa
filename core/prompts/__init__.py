"""Prompts with versions: templates, the versions and labels of a name, and the request that a version makes."""
