"""The networks: one file for each family of papers, with a table of its variants."""
