"""Many runs: from a template and a table, or from run files, on processes of this machine or of a cluster."""
