"""What is observed, given the linear predictor: one outcome a file."""
