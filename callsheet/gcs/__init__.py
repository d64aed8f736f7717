"""Cloud Storage spoken to: who one is, one request at a time, and the rules by which objects are written and read."""
