"""The pages: title, inputs, one query, a guard, numbers, chart, table."""
