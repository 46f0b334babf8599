"""Persons: what a model says of them besides their area, and the tables that it is laid on."""
