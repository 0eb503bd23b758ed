"""The only code that runs a student model; one file per engine."""
