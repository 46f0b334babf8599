"""Engines: each turns a Design into joint posterior draws; what one does not support it refuses before any work."""
