"""The report of a run: its sections, charts and the HTML page."""
