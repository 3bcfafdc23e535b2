"""The networks: one file per line of papers; a variant is a row of its table."""
