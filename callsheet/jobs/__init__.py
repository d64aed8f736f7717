"""The life of a paid job: submit, keep the reply, fetch, store, and what is unknown."""
