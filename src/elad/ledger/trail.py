"""The trail that a request leaves: `REQUEST` before it is sent, then `REPLY`; `LOST` for a try without a reply to keep.

The n-th try of a request has the key of its reply, `#` and n.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from elad.errors import RunFolderError
from elad.ledger.account import Account
from elad.ledger.cache import Cache
from elad.ledger.events import Kind, Ledger
from elad.outcomes import ReplyOutcome
from elad.protocols import Teacher
from elad.records import Charge, Reply, Request, from_json, to_json


class Trail:
    """Where the replies of one session come from and go to: the ledger, and the user's cache beside it."""

    def __init__(self, ledger: Ledger, cache: Cache | None, *, number: int, note: Callable[[str], None]) -> None:
        """`number` is the round that events are written under."""
        self._ledger = ledger
        self._cache = cache
        self._number = number
        self._note = note
        self._tries: dict[str, list[ReplyOutcome]] = {}

    def written(self, key: str) -> Reply | None:
        """The reply in the ledger."""
        payload = self._ledger.get(Kind.REPLY, key)
        return None if payload is None else from_json(Reply, payload)

    def cached(self, request: Request) -> Reply | None:
        """The reply that any run of this user has paid for."""
        try:
            return self._cache.get(request) if self._cache else None
        except RunFolderError as error:
            return self._without_cache(error)

    def tries(self, key: str) -> list[ReplyOutcome]:
        """What became of the tries so far."""
        if key not in self._tries:
            self._tries[key] = [reply.outcome for reply in lost_tries(self._ledger, key)]
        return self._tries[key]

    def open_try(self, key: str) -> tuple[Request, Charge] | None:
        """What was sent and reserved and has not ended; None where nothing is."""
        event = self._ledger.get(Kind.REQUEST, f"{key}#{len(self.tries(key))}")
        if event is None:
            return None
        return from_json(Request, event["request"]), from_json(Charge, event["reserved"])

    def begin(self, key: str, sent: Request, reserved: Charge, *, way: str) -> None:
        """Writes down a try that is about to be sent by a teacher's `way`."""
        event = {"request": to_json(sent), "reserved": to_json(reserved), "way": way}
        self._ledger.append(Kind.REQUEST, [(f"{key}#{len(self.tries(key))}", event)], round=self._number)

    def close(self, key: str, reply: Reply) -> None:
        """Ends a try that left no reply to keep."""
        tries = self.tries(key)
        self._ledger.append(Kind.LOST, [(f"{key}#{len(tries)}", to_json(reply))], round=self._number)
        tries.append(reply.outcome)

    def end(self, key: str, request: Request, reply: Reply) -> Reply:
        """Writes down the reply that stays."""
        self._ledger.append(Kind.REPLY, [(key, to_json(reply))], round=self._number)
        self._tries.pop(key, None)
        try:
            if self._cache:
                self._cache.put(request, reply)
        except RunFolderError as error:
            self._without_cache(error)
        return reply

    def _without_cache(self, error: RunFolderError) -> None:
        """A cache that fails costs money at another time, and is no reason to lose what is under way now."""
        self._cache = None
        self._note(f"the cache of replies is not used any more: {error}")


def lost_tries(ledger: Ledger, key: str) -> Iterator[Reply]:
    """What became of the tries of a request that left no reply to keep, in order."""
    number = 0
    while (payload := ledger.get(Kind.LOST, f"{key}#{number}")) is not None:
        yield from_json(Reply, payload)
        number += 1


def reply_lengths(ledger: Ledger, *, as_bought: bool = False) -> Iterator[int]:
    """Tokens of each reply so far, where the endpoint told them; with `as_bought`, of those of the cache too."""
    for event in ledger.events(Kind.REPLY):
        reply = from_json(Reply, event.payload)
        charge = reply.bought if as_bought else reply.charge
        if charge.tokens_out and not charge.estimated:
            yield charge.tokens_out


def settle_earlier(ledger: Ledger, account: Account, teacher: Teacher, number: int) -> tuple[int, int]:
    """Counts the requests that an earlier session sent and got no word of; gives how many are held, and how many lost.

    Where asking again costs nothing more, and goes the way that they went, they stay reserved until they are asked
    again; elsewhere they are lost. Raises: TeacherError where the way is yet to be found out, and cannot be.
    """
    held = lost = 0
    for event in ledger.events(Kind.REQUEST):
        key = event.key.partition("#")[0]
        if ledger.has(Kind.REPLY, key) or ledger.has(Kind.LOST, event.key):
            continue
        reserved = from_json(Charge, event.payload["reserved"])
        if teacher.repeatable and event.payload.get("way") == teacher.way:
            account.hold(key, reserved)
            held += 1
            continue
        reply = Reply(
            request=from_json(Request, event.payload["request"]).key,
            text="",
            outcome=ReplyOutcome.LOST,
            charge=replace(reserved, estimated=True),
            teacher=teacher.id,
            reason="sent by a session that ended before the reply",
        )
        ledger.append(Kind.LOST, [(event.key, to_json(reply))], round=number)
        account.spent = account.spent + reply.charge
        lost += 1
    return held, lost
