"""What happened, what it cost, and what may still be spent."""
