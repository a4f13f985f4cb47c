"""A query -> some thousand candidates: towers, vector index, sources."""
