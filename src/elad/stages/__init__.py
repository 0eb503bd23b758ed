"""The stages of a round: each asks the ledger first and works only on what is not there."""
