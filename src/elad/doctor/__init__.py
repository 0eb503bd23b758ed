"""What an experiment has to work with, looked at before it runs: teacher, student, machine."""
