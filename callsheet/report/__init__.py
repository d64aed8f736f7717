"""What people look at: the gallery page of a batch and the Markdown parts of the Prefect artifacts."""
