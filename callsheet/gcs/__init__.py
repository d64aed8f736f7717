"""Cloud Storage: credentials, single requests, and writing and reading objects."""
