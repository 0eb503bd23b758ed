"""`python -m elad.cli`."""

from elad.cli import main

main()
