"""Pages of prompts and datasets."""
