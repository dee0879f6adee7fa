"""Parts of Models & prices."""
