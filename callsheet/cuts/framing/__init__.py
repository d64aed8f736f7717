"""Which part of a clip is shown: where its subject is, and the steady crop or calm path that keeps it in view."""
