"""Sample manifests and the JSON Schema of the YAML form."""
