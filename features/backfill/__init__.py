"""The batch driver of a cluster: the stream's own stages over archive and log, to any offsets, to the same bits."""
