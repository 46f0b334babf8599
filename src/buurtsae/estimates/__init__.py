"""From joint draws to figures: estimates at every level, their reliability and labels, and the evidence for them."""
