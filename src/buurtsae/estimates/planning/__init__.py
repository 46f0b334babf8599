"""Where more respondents help."""
