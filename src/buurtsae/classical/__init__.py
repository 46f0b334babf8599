"""Classical small-area estimators: Fay-Herriot and its relatives, and the nested error model."""
