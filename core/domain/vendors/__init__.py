"""The nouns of vendors: where their models are asked."""
