"""The vendors, one a file, each behind one `stream()`."""
