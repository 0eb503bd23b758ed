"""What a run will cost, before a cent is spent."""
