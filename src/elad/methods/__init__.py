"""One file a paper: its card as the docstring, what is new in it, and `experiment()`."""
