"""The local stack: real servers on loopback, without containers, and the same four as a compose file."""
