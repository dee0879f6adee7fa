"""What programs.py runs, and the vendors behind it."""
