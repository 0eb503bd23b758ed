"""The parts of the report, one concern a file: what each is told of the ledger, and how it says it."""
