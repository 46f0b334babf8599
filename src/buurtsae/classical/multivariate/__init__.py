"""The Fay-Herriot model of several measures."""
