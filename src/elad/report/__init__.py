"""What a person or a script sees of a run; everything is read from the ledger."""
