"""All that talks to Prefect's API: server, deployments, automations, shards and artifacts."""
