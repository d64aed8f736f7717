"""What `docs.generate` makes pages of."""
