"""What the steps of one run share: open resources, policy, and the state of each shot."""
