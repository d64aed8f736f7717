"""Prefect tasks: one per step, holding policy (retries, names, tags) and no logic."""
