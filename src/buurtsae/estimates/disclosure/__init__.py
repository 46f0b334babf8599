"""What may be published: what others could compute, what else must be hidden, and the gatekeeper."""
