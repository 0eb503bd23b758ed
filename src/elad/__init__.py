"""Explanation-guided active distillation (ELAD, arXiv 2402.13098): see `docs/design.md`."""
