"""Chains with a wrong step, and teachers that find it, for tests of the reviser `first_error`."""

from collections.abc import Callable
from typing import Any

from revision_kit import Script, one

from elad.outcomes import Purpose, ReplyOutcome, Verdict
from elad.records import Request
from elad.revision.first_error import FirstError

CHAIN = "Each bag has 4, so 3 x 4 = 12.\nHe eats 2, so 12 + 2 = 14.\nThe answer is 14."
STEPS = tuple(CHAIN.split("\n"))
MENDED = "Each bag has 4, so 3 x 4 = 12.\n12 - 2 = 10.\nThe answer is 10."
REST = "12 - 2 = 10.\nThe answer is 10."
RIGHT, WRONG, UNJUDGED = Verdict.RIGHT, Verdict.WRONG, Verdict.UNJUDGED

Said = str | ReplyOutcome


def by_purpose(**said: Said | Callable[[Request], Said]) -> Script:
    """A teacher that answers each purpose in one way."""

    def say(request: Request) -> Said:
        reply = said[request.purpose.name.lower()]
        return reply(request) if callable(reply) else reply

    return Script(say)


def set_to(**settings: Any) -> FirstError:
    return FirstError(**settings)


def purposes(script: Script) -> list[Purpose]:
    return [request.purpose for request in script.requests]


def stepwise_at(index: int) -> Callable[[Request], str]:
    return lambda request: one(len(request.steps) <= index, "12 - 2 = 10.")
