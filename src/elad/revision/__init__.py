"""What a teacher makes of a student's chain: one file per strategy, judges and prompts beside them."""
