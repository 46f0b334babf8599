"""One area in words, and rules of thumb: what an estimate leans on, and scores over a covariate."""
