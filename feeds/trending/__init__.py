"""Trending: counts by the hour, boards made of them, and their pages."""
