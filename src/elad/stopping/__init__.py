"""Stopping rules: when a further round is not worth beginning. One file per kind."""
