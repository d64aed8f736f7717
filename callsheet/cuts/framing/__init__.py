"""Framing of cuts: which part of a clip is shown.

Where its subject is, and the steady crop or calm path that keeps it in view.
"""
