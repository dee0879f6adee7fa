"""Parts of Compare that show evaluations."""
