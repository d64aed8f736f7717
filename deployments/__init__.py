"""Deployments, server settings, work pools and container file: data that `callsheet ui` and `callsheet deploy` read."""
