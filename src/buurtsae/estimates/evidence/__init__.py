"""What the estimates rest on and how they hold up: left-out areas, residuals, sources, other estimators, the gate."""
