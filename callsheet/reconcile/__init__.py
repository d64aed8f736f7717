"""What an archive proves of a batch, beside what a ledger says.

Inspected, and read back into rows.
"""
