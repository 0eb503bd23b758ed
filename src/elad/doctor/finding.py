"""What was found, in plain words, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class Verdict(StrEnum):
    """Whether something is as a run would like it."""

    OK = "ok"
    NO = "no"
    UNKNOWN = "unknown"
    """It could not be found out, and the finding says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    found: str
    """What was found; for `unknown`, why nothing was."""
    remedy: str = ""
    """What to do; empty when it is ok."""
    fatal: bool = False
    """A run is impossible without it."""

    @property
    def prevents(self) -> bool:
        """Whether a run cannot be."""
        return self.fatal and self.verdict is Verdict.NO

    def told_by(self, clean: Callable[[str], str]) -> "Finding":
        """The finding with its words cleaned."""
        return replace(self, found=clean(self.found), remedy=clean(self.remedy))


def ok(name: str, found: str, *, fatal: bool = False) -> Finding:
    """All is well."""
    return Finding(name=name, verdict=Verdict.OK, found=found, fatal=fatal)


def no(name: str, found: str, remedy: str, *, fatal: bool = False) -> Finding:
    """It is not as it should be."""
    return Finding(name=name, verdict=Verdict.NO, found=found, remedy=remedy, fatal=fatal)


def unknown(name: str, found: str, remedy: str = "look again later", *, fatal: bool = False) -> Finding:
    """It could not be found out; `found` is why."""
    return Finding(name=name, verdict=Verdict.UNKNOWN, found=found, remedy=remedy, fatal=fatal)
