"""The teacher of a finished run, asked again: it knows what was bought, and nothing else."""

from dataclasses import dataclass, replace
from pathlib import Path

from elad.errors import RunFolderError
from elad.ledger.events import Kind, Ledger, reply_key
from elad.outcomes import Purpose, ReplyOutcome
from elad.protocols import Teacher
from elad.records import Reply, Request, from_json
from elad.teachers.local import Local, failed

__all__ = ["Replay"]

NEVER_BOUGHT = "never bought in the run that is replayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Replies out of the ledger of `source`, with the charges that they had there. No network.

    A request that was never answered there fails, and its reason says so; nothing is made up.
    """

    source: str
    """A run folder."""
    ends: bool = False
    """What was never answered there is beyond the budget here, as it was there, and its revision is left open."""

    def open(self) -> Teacher:
        """The teacher under the name that it had. Raises: RunFolderError where nothing was bought."""
        ledger = Ledger(Path(self.source), write=False)
        first = next(ledger.events(Kind.REPLY), None)
        if first is None:
            raise RunFolderError(f"{self.source}: nothing was bought there")
        name = from_json(Reply, first.payload).teacher

        def answer(request: Request) -> Reply:
            payload = ledger.get(Kind.REPLY, reply_key(name, request))
            return _missing(request, name, self.ends) if payload is None else from_json(Reply, payload)

        return _Replayed(id=name, serves=frozenset(Purpose), answer=answer, ledger=ledger)


def _missing(request: Request, name: str, ends: bool) -> Reply:
    reply = failed(request, name, NEVER_BOUGHT)
    return replace(reply, outcome=ReplyOutcome.BUDGET) if ends else reply


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replayed(Local):
    ledger: Ledger

    def close(self) -> None:
        self.ledger.__exit__(None, None, None)
