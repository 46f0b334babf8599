"""The nested error model of units in areas."""
