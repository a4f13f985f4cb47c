"""Exploration that can be learned from: the one random stage of a page, last of all, whose chances are logged."""
