"""Outcomes: what the linear predictor says about, each with its scale, in one file each."""
