"""The stream processor of a cluster: stages between topics, each the one writer of the keys of its partitions."""
