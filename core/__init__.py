"""The shared language: events, types, stage and port protocols, settings, errors."""
