"""Uncertainties: how unsure a student is of each step of its chain, or of its answer as a whole.

A file's name is its kind; the files without `__all__` are the parts that kinds are made of.
"""
