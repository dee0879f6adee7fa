"""The nouns of batches, and of the files that they are read from and written to."""
