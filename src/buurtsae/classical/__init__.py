"""Classical small-area estimators, in the manner of statsmodels."""
