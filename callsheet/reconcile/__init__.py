"""What an archive proves of a batch, beside what a ledger says: inspected, and read back into rows."""
