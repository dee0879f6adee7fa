"""Routes of prompts and datasets."""
