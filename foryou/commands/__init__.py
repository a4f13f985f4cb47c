"""One file for each group of commands; what a command needs is imported inside it, so that all start fast."""
