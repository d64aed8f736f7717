"""Where every file of a batch is kept: stores (local, gs://), sidecars and the catalogue."""
