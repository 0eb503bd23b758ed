"""Judges: each finds the first wrong step of a chain in its own way, one to a file."""

from typing import Protocol

from elad.outcomes import Purpose
from elad.revision.case import Asking, Case, Draft, Finding


class Judge(Protocol):
    """Finds the first wrong step of a draft by asking; a frozen value, as revisers are."""

    @property
    def needs(self) -> frozenset[Purpose]:
        """What the teacher must serve."""
        ...

    def __call__(self, case: Case, draft: Draft) -> Asking[Finding]: ...
