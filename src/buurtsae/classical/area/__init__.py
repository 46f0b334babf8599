"""Area-level models of one measure."""
