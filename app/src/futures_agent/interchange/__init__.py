"""Candles in files: finding, reading, judging and writing them; import into and export from the database."""
