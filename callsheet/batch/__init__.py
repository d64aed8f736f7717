"""One run of a batch, from its request to its summary."""
