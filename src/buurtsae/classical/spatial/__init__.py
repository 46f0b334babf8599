"""The Fay-Herriot model with spatially correlated effects."""
