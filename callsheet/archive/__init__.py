"""The archive of a batch's files: stores (local, gs://), sidecars, catalogue."""
