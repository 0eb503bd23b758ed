"""Explanation-guided active distillation (ELAD, arXiv 2402.13098), under a budget.

>>> from elad import Experiment, run
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elad.experiment import Experiment
    from elad.loop import run

__all__ = ["Experiment", "run"]


def __getattr__(name: str) -> Any:
    """`Experiment` and `run`, imported when first used so that `import elad` stays instant."""
    if name == "Experiment":
        from elad.experiment import Experiment

        return Experiment
    if name == "run":
        from elad.loop import run

        return run
    raise AttributeError(f"module 'elad' has no attribute {name!r}")
