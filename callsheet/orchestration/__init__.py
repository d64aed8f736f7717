"""Prefect's API: server, deployments, automations, shards and artifacts."""
