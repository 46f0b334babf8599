"""Runs: a run file, its inputs read and checked, the model it asks for, and the steps from these to results."""
