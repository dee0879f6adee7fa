"""The nouns: frozen values that everything may import."""
