"""People's decisions about frames: read from words or a file, held against what is archived, and recorded."""
