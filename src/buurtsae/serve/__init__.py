"""A read-only HTTP server of published results."""
