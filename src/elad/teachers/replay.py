"""The teacher of a finished run, asked again: it knows what was bought, and nothing else."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from elad.errors import RunFolderError
from elad.ledger.events import Kind, Ledger
from elad.protocols import Teacher
from elad.records import Purpose, Reply, Request, digest, from_json
from elad.teachers.local import failed

__all__ = ["Replay"]

NEVER_BOUGHT = "never bought in the run that is replayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Replies out of the ledger of `source`, with the charges that they had there. No network.

    A request that was never answered there fails, and its reason says so; nothing is made up.
    """

    source: str
    """A run folder."""

    def open(self) -> Teacher:
        """The teacher under the name that it had. Raises: RunFolderError where nothing was bought."""
        ledger = Ledger(Path(self.source), write=False)
        first = next(ledger.events(Kind.REPLY), None)
        if first is None:
            raise RunFolderError(f"{self.source}: nothing was bought there")
        return _Replayed(ledger, from_json(Reply, first.payload).teacher)


@dataclass(frozen=True, slots=True)
class _Replayed:
    ledger: Ledger
    id: str

    @property
    def serves(self) -> frozenset[Purpose]:
        return frozenset(Purpose)

    @property
    def priced(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return True

    @property
    def scope(self) -> str | None:
        return None

    def worst_case(self, request: Request) -> tuple[int, int, float]:
        charge = self._reply(request).charge
        return charge.tokens_in, charge.tokens_out, charge.money

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        for request in requests:
            if request is None:
                return
            yield self._reply(request)

    def close(self) -> None:
        self.ledger.__exit__(None, None, None)

    def _reply(self, request: Request) -> Reply:
        payload = self.ledger.get(Kind.REPLY, digest([self.id, request.key]))
        if payload is None:
            return failed(request, self.id, NEVER_BOUGHT)
        return replace(from_json(Reply, payload), request=request.key)
