"""Surfaces of the feed: filters, re-ranking, cursors, and the intake of what viewers did next."""
