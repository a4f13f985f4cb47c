"""Cassandra: what each viewer has seen and done, for ninety days."""
