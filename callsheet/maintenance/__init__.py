"""Care for what is archived: verify, repair, remake, copy and rebuild."""
