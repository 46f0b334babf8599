"""Area models over years."""
