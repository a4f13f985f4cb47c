"""Recommendation from bare (user, item) pairs: the public benchmarks' protocol, two towers over the pairs' graph."""
