"""Asking a teacher on account: what the ledger or the cache has is not paid for again.

Each request leaves a trail: `REQUEST` with its reservation before it is sent, then `REPLY` with what it
cost, or `LOST` where nobody knows whether it was answered. What is lost counts as its whole reservation
(unless the teacher bills a repeated request once) and is asked once more. Spent is the sum over `REPLY`
and `LOST`. The n-th try of a request has the key of its reply, `#` and n.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from elad.errors import TeacherError
from elad.interrupt import Interrupt
from elad.ledger.account import Account, Wait
from elad.ledger.cache import Cache
from elad.ledger.events import Kind, Ledger, reply_key
from elad.protocols import Teacher
from elad.records import Charge, Reply, ReplyOutcome, Request, from_json, to_json

GIVE_UP_AFTER = 5
"""Requests that fail in a row: then the teacher is taken to be out of reach."""
MOST_TRIES = 2
"""How often a request is asked whose reply is lost."""

Tell = Callable[[Request, Reply], None]


class Purchase:
    """A counter where requests are handed in and replies handed out, in any order."""

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        account: Account,
        cache: Cache | None = None,
        *,
        number: int,
        stopping: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`number` is the round that events are written under; `stopping` is told of Ctrl-C."""
        self.refusal: str | None = None
        """The cap that was reached, in words."""
        self._teacher = teacher
        self._ledger = ledger
        self._account = account
        self._cache = cache
        self._number = number
        self._stopping = stopping
        self._tries: dict[str, list[ReplyOutcome]] = {}
        """What became of the earlier tries of a request, by its key in the ledger."""
        self._sent: dict[str, tuple[str, Request, Charge]] = {}
        """By the key it was sent under: its key in the ledger, the request as it was handed in, the reservation."""
        self._again: deque[Request] = deque()
        self._failed: dict[str, tuple[Request, Reply]] = {}
        self._trouble: TeacherError | None = None

    def pay(self, source: Iterator[Request | None], tell: Tell) -> None:
        """Tells a reply to each request that the source gives; None means that it waits for a reply first.

        A failure is final for its request once another request was answered, or when nothing else is under
        way. A reply beyond the budget is told as `BUDGET` and not written down. Ctrl-C sends nothing more
        and waits for what is in flight, unless the teacher leaves it for later; a second one does not wait.

        Raises: TeacherError when requests fail one after the other, those may be asked again on resume;
        KeyboardInterrupt after Ctrl-C, when all is settled.
        """
        with Interrupt(lambda: self._stopping(f"stopping: waiting for {len(self._sent)} replies")) as interrupt:
            try:
                self._pay(source, tell, interrupt)
            except TeacherError as error:
                self._give_up(str(error))
                raise
            if self._sent:
                self._stopping(f"{len(self._sent)} replies are still to come; the same command picks them up later")

    def _pay(self, source: Iterator[Request | None], tell: Tell, interrupt: Interrupt) -> None:
        going = True
        while going and not interrupt.asked:
            for reply in self._teacher.ask(self._admitted(source, tell, interrupt)):
                self._receive(reply, tell)
            if self._trouble:
                raise self._trouble
            going = bool(self._failed)
            self._accept_failures(tell)

    def _give_up(self, reason: str) -> None:
        """Ends the tries that the endpoint as a whole has failed; none of them was billed.

        Where it knows a request again, what is under way there stays open.
        """
        for key, (_, reply) in self._failed.items():
            self._close(key, reply)
        if not self._sent or self._teacher.repeatable:
            return
        for key, request, _ in self._sent.values():
            self._account.settle(key, Charge())
            self._close(key, self._no_reply(request, ReplyOutcome.FAILED, reason))

    def _admitted(self, source: Iterator[Request | None], tell: Tell, interrupt: Interrupt) -> Iterator[Request | None]:
        while not (interrupt.asked or self._trouble):
            request = self._again.popleft() if self._again else next(source, None)
            if request is None:
                yield None
                continue
            key = reply_key(self._teacher.id, request)
            known = self._known(key, request)
            if known:
                tell(request, known)
                continue
            while (admitted := self._admit(key, request)) is Wait.WAIT:
                yield None
                if interrupt.asked or self._trouble:
                    return
            if isinstance(admitted, Reply):
                tell(request, admitted)
            else:
                yield admitted

    def _known(self, key: str, request: Request) -> Reply | None:
        written = self._ledger.get(Kind.REPLY, key)
        if written is not None:
            return from_json(Reply, written)
        cached = self._cache.get(request) if self._cache else None
        if cached:
            self._ledger.append(Kind.REPLY, [(key, to_json(cached))], round=self._number)
        return cached

    def _admit(self, key: str, request: Request) -> Request | Reply | Wait:
        """The request as it may be sent, held to a shorter reply where the budget bears no more.

        What an earlier session has sent goes out again as it was, so that the teacher knows it.
        """
        tries = self._tries_of(key)
        if tries.count(ReplyOutcome.LOST) >= MOST_TRIES:
            reason = f"sent {MOST_TRIES} times, and each time the reply was lost"
            return self._write(key, request, self._no_reply(request, ReplyOutcome.FAILED, reason))
        name = f"{key}#{len(tries)}"
        earlier = self._ledger.get(Kind.REQUEST, name)
        sent = from_json(Request, earlier["request"]) if earlier else request
        worst = self._worst(sent)
        refused = self._account.admit(key, worst)
        short = self._account.short_reply() if isinstance(refused, str) and not earlier else None
        if short is not None and short < request.sampling.max_tokens:
            sent = replace(request, sampling=replace(request.sampling, max_tokens=short))
            worst = self._worst(sent)
            refused = self._account.admit(key, worst)
        if refused is Wait.WAIT:
            return refused
        if refused:
            self.refusal = f"budget reached: {refused}"
            return self._no_reply(request, ReplyOutcome.BUDGET, self.refusal)
        if not earlier:
            self._write_request(name, sent, worst)
        self._sent[sent.key] = key, request, worst
        return sent

    def _write_request(self, name: str, sent: Request, worst: Charge) -> None:
        event = {"request": to_json(sent), "reserved": to_json(worst), "repeatable": self._teacher.repeatable}
        self._ledger.append(Kind.REQUEST, [(name, event)], round=self._number)

    def _receive(self, reply: Reply, tell: Tell) -> None:
        key, request, worst = self._sent.pop(reply.request)
        reply = replace(reply, request=request.key)
        if reply.outcome is ReplyOutcome.LOST:
            last = len(self._tries_of(key)) + 1 >= MOST_TRIES
            billed = last or not self._teacher.repeatable
            lost = replace(reply, charge=replace(worst, estimated=True) if billed else Charge())
            self._account.settle(key, lost.charge)
            self._close(key, lost)
            self._again.append(request)
            return
        self._account.settle(key, reply.charge)
        if reply.outcome is ReplyOutcome.FAILED and reply.charge.calls:
            self._failed[key] = request, reply
            if len(self._failed) == GIVE_UP_AFTER:
                why = f"{GIVE_UP_AFTER} requests in a row failed: {reply.reason}"
                self._trouble = TeacherError(f"{self._teacher.id}: {why}")
            return
        cut = reply.outcome is ReplyOutcome.TRUNCATED and worst.tokens_out < request.sampling.max_tokens
        if cut:
            reply = replace(reply, reason=f"the budget bore no more than {worst.tokens_out} tokens")
        self._write(key, request, reply, keep=not cut)
        self._accept_failures(tell)
        tell(request, reply)

    def _accept_failures(self, tell: Tell) -> None:
        failed, self._failed = self._failed, {}
        for key, (request, reply) in failed.items():
            tell(request, self._write(key, request, reply))

    def _write(self, key: str, request: Request, reply: Reply, *, keep: bool = True) -> Reply:
        self._ledger.append(Kind.REPLY, [(key, to_json(reply))], round=self._number)
        self._tries.pop(key, None)
        if self._cache and keep:
            self._cache.put(request, reply)
        return reply

    def _close(self, key: str, reply: Reply) -> None:
        """Ends a try that left no reply to keep."""
        tries = self._tries_of(key)
        self._ledger.append(Kind.LOST, [(f"{key}#{len(tries)}", to_json(reply))], round=self._number)
        tries.append(reply.outcome)

    def _tries_of(self, key: str) -> list[ReplyOutcome]:
        if key not in self._tries:
            self._tries[key] = [reply.outcome for reply in lost_tries(self._ledger, key)]
        return self._tries[key]

    def _worst(self, request: Request) -> Charge:
        tokens_in, tokens_out, money = self._teacher.worst_case(request)
        return Charge(calls=1, tokens_in=tokens_in, tokens_out=tokens_out, money=money)

    def _no_reply(self, request: Request, outcome: ReplyOutcome, reason: str) -> Reply:
        return Reply(
            request=request.key,
            text="",
            outcome=outcome,
            charge=Charge(),
            teacher=self._teacher.id,
            reason=reason,
        )


def lost_tries(ledger: Ledger, key: str) -> Iterator[Reply]:
    """What became of the tries of a request that left no reply, in order."""
    number = 0
    while (payload := ledger.get(Kind.LOST, f"{key}#{number}")) is not None:
        yield from_json(Reply, payload)
        number += 1


def settle_earlier(ledger: Ledger, account: Account, teacher: Teacher, number: int) -> int:
    """Counts the requests that an earlier session sent and got no word of; gives how many there are.

    Where asking again costs nothing more, then as now, they stay reserved until they are asked again;
    elsewhere they are lost.
    """
    left = 0
    for event in ledger.events(Kind.REQUEST):
        key = event.key.partition("#")[0]
        if ledger.has(Kind.REPLY, key) or ledger.has(Kind.LOST, event.key):
            continue
        left += 1
        reserved = from_json(Charge, event.payload["reserved"])
        if teacher.repeatable and event.payload.get("repeatable"):
            account.hold(key, reserved)
            continue
        lost = Reply(
            request=from_json(Request, event.payload["request"]).key,
            text="",
            outcome=ReplyOutcome.LOST,
            charge=replace(reserved, estimated=True),
            teacher=teacher.id,
            reason="sent by a session that ended before the reply",
        )
        ledger.append(Kind.LOST, [(event.key, to_json(lost))], round=number)
        account.spent = account.spent + lost.charge
    return left
