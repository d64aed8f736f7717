"""Sound of cuts, measured and brought to the platform's loudness.

With a music bed under it where the manifest names one.
"""
