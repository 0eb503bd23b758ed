"""What was measured, with intervals."""
