"""What the steps of one run share.

Open resources, policy, and the state of each shot.
"""
