"""The nouns of evaluation: prompts, datasets, and runs over them."""
