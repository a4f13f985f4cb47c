"""Candidates -> calibrated predictions -> one value: bins, forest, heads, value model."""
