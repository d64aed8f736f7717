"""Cuts of a clip for social platforms: framing, finishing, sound and encoding."""
