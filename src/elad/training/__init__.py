"""How a student learns: rows, the one trainer, and what it is trained towards."""
