"""Uncertainties: how unsure a student is of each step of its chain.

`elad` is a kind, named by its file; the files without `__all__` are the parts it is made of.
"""
