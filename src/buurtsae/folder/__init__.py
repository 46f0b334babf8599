"""A folder of results: claimed before any work, written all at once, and read through one door."""
