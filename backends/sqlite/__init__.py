"""Embedded stores on SQLite: the default of every port that must survive a restart."""
