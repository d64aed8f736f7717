"""People's decisions about frames: read from words or a file, and checked.

They are compared with what is archived.
"""
