"""The model: terms with their priors, a frozen specification that reads in words, and the arrays an engine sees."""
