"""The steps of a batch, one module each.

They are images, frames, clips, cuts, archive and report. A step works on one shot, keeps what it learnt in the shot's
`Work`, and records a failure there instead of raising: one bad shot never stops the others. Only what makes the step
worth repeating (archive or ledger out of reach) is raised. Steps are idempotent; the ledger knows what was already
done.
"""
