"""JSON, YAML, texts and names as they come from outside: read strictly, written safely."""
