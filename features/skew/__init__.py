"""Feature skew: logged feature rows, computed again from the log, to the last bit."""
