"""HTTP and Ray Serve: a thin edge that authenticates, validates and encodes."""
