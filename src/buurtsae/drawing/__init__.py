"""How scores are drawn: classes and colours, maps, intervals, and curves over a covariate."""
