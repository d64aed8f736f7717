"""Finishing of cuts: captions, logo, disclosure and end card.

Drawn with our own fonts in the safe zone.
"""
