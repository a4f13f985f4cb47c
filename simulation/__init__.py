"""A synthetic world whose viewers have preferences that we know, so that a policy's regret is measurable."""
