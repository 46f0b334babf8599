"""From answers to direct estimates: the concept, codebooks, scores, design-based means and their variances."""
