"""Classical estimators of small-area statistics: without priors, with analytic mean squared errors."""
