"""Selectors: which questions to buy. One file per kind."""
