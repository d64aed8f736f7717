"""What stands between this machine and a run: looked at in seconds, for nothing."""
