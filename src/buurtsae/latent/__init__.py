"""The sparse Gaussian core, a floor below engines and classical estimators: fields and their posteriors."""
