"""Pages for people: a batch's gallery, and Markdown for the Prefect artifacts."""
