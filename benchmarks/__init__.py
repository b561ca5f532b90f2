"""The project's measurements: each prints a table, and as its last line the figures as one JSON object."""
