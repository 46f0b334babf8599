"""Open data of the Netherlands: borders and figures per buurt from their publishers, to files with provenance."""
