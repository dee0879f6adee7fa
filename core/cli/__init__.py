"""The command line `aimm`: a module for each group of commands."""
