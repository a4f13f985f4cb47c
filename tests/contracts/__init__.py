"""One contract test class for each port: every implementation inherits it."""
