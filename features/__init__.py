"""Events -> features: definitions, transforms, the stream and the batch driver, the Feast repository."""
