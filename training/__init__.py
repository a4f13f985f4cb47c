"""Logged slates and feedback -> models -> bundle and registry; evaluation."""
