"""The `kerasnets` command: one file per command; each parses, calls one function and prints."""
