"""Measurements beside named peers in the same run: `make bench`."""
