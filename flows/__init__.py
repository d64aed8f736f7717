"""Prefect flows: the stories, each read top to bottom."""
