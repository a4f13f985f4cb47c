"""One file for each outside system; each implements ports that core declares."""
