"""OpenAI's files and batches: many requests in one file, each asked as if it had come by itself."""
