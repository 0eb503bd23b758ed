"""Asking a teacher on account: what the ledger or the cache has is not paid for again.

Each request leaves a trail (`ledger.trail`). A lost reply counts as its whole reservation, and the request is
asked once more. A teacher that bills a repeated request once is asked again as it was, on the same
reservation; only where that brings no reply either is it counted. Spent is the sum over `REPLY` and `LOST`.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from elad.errors import TeacherError
from elad.interrupt import Interrupt
from elad.ledger.account import Account, Wait
from elad.ledger.cache import Cache
from elad.ledger.events import Ledger, reply_key
from elad.ledger.trail import Trail
from elad.outcomes import ReplyOutcome
from elad.protocols import Teacher
from elad.records import Charge, Reply, Request

GIVE_UP_AFTER = 8
"""Requests in a row that bring no answer: then the teacher is taken to be out of reach."""
MOST_REJECTED = 20
"""Requests in a row that are turned down: then it is not for what is in them."""
MOST_TRIES = 2
"""How often a request is asked whose reply is lost."""

Tell = Callable[[Request, Reply], None]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request that is under way."""

    key: str
    """Of its reply in the ledger."""
    request: Request
    """As it was handed in."""
    most_out: int
    """Tokens of the reply that it was sent for; the budget may have borne no more."""
    worst: Charge
    unsure: bool
    """Whether the very same was sent before, and may have been billed then."""


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
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`number` is the round that events are written under; `note` is told what a user should know."""
        self.refusal: str | None = None
        """The cap that was reached, in words."""
        self._teacher = teacher
        self._account = account
        self._trail = Trail(ledger, cache, number=number, note=note)
        self._note = note
        self._losses: Counter[str] = Counter()
        """Replies that were lost in this session and may have been billed, by the request's key in the ledger."""
        self._sent: dict[str, _Sent] = {}
        """By the key it was sent under."""
        self._again: deque[Request] = deque()
        self._failed: dict[str, tuple[Request, Reply]] = {}
        self._silent = 0
        """Requests since the last answer that brought none."""
        self._rejected = 0
        """Requests since the last answer that were turned down."""
        self._overrun = False
        self._trouble: TeacherError | None = None

    def pay(self, source: Iterator[Request | None], tell: Tell) -> None:
        """Tells a reply to each request that the source gives; None means that it waits for a reply first.

        A failure is final for its request, and so is being turned down, once another request was answered, or
        when nothing else is under way. A reply beyond the budget is told as `BUDGET` and not written down.
        Ctrl-C sends nothing more and waits for what is in flight, unless the teacher leaves it for later; a
        second one does not wait.

        Raises: TeacherError when requests one after the other bring no answer, or are turned down: those may
        be asked again on resume; KeyboardInterrupt after Ctrl-C, when all is settled.
        """
        with Interrupt(lambda: self._note(f"stopping: waiting for {len(self._sent)} replies")) as interrupt:
            try:
                self._pay(source, tell, interrupt)
            except TeacherError as error:
                self._give_up(str(error))
                raise
            if self._sent:
                self._note(f"{len(self._sent)} replies are still to come; the same command picks them up later")

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
            self._trail.close(key, reply)
        if not self._sent or self._teacher.repeatable:
            return
        for sent in self._sent.values():
            self._account.settle(sent.key, Charge())
            self._trail.close(sent.key, self._no_reply(sent.request, ReplyOutcome.FAILED, reason))

    def _admitted(self, source: Iterator[Request | None], tell: Tell, interrupt: Interrupt) -> Iterator[Request | None]:
        while not (interrupt.asked or self._trouble):
            request = self._next(source)
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

    def _next(self, source: Iterator[Request | None]) -> Request | None:
        """While nothing is answered, what was lost waits behind what was not asked yet: it has one more try only."""
        request = next(source, None) if self._silent or not self._again else None
        return self._again.popleft() if request is None and self._again else request

    def _known(self, key: str, request: Request) -> Reply | None:
        """What is told whatever the caps are; None where it must be asked for, or its price counts."""
        written = self._trail.written(key)
        if written or self._account.as_bought or (cached := self._trail.cached(request)) is None:
            return written
        return self._reuse(key, request, cached)

    def _reuse(self, key: str, request: Request, cached: Reply) -> Reply:
        if tried := self._trail.open_try(key):
            self._count(key, *tried, "answered from the cache instead")
        return self._trail.end(key, request, cached)

    def _count(self, key: str, request: Request, reserved: Charge, reason: str) -> None:
        """Ends a try of an earlier session that nobody will ask again, and that may have been billed."""
        charge = replace(reserved, estimated=True)
        self._account.settle(key, charge)
        self._trail.close(key, replace(self._no_reply(request, ReplyOutcome.LOST, reason), charge=charge))

    def _open_try(self, key: str) -> tuple[Request, Charge, bool] | None:
        """What was sent and reserved and has not ended, and whether it may have been billed; what is lost ends here."""
        tried = self._trail.open_try(key)
        lost = self._teacher.lost(tried[0]) if tried else None
        if tried and lost:
            self._count(key, *tried, "billed in an earlier session, and its reply cannot be had any more")
        return None if tried is None or lost else (*tried, lost is None)

    def _admit(self, key: str, request: Request) -> Request | Reply | Wait:
        """The request as it may be sent, held to a shorter reply where the budget bears no more.

        What was sent before and is still open goes out again as it was, so that the teacher knows it. A
        reply that was cut short is asked for in full.
        """
        if self._account.as_bought and (taken := self._take_cached(key, request)):
            return taken
        earlier = self._open_try(key)
        tries = self._trail.tries(key)
        if max(tries.count(ReplyOutcome.LOST), self._losses[key]) >= MOST_TRIES:
            reason = f"sent {MOST_TRIES} times, and each time the reply was lost"
            return self._trail.end(key, request, self._no_reply(request, ReplyOutcome.FAILED, reason))
        wanted = earlier[0] if earlier else request
        bounded = bool(earlier) or ReplyOutcome.TRUNCATED in tries
        sent, worst, refused = self._fitted(key, wanted, shorten=not bounded)
        if refused:
            return self._refusal(request, refused)
        if not earlier:
            self._trail.begin(key, sent, worst, way=self._teacher.way)
        self._sent[sent.key] = _Sent(key, request, sent.sampling.max_tokens, worst, bool(earlier and earlier[2]))
        return sent

    def _take_cached(self, key: str, request: Request) -> Reply | Wait | None:
        """A reply of the cache, where the budget bears what it cost when it was bought; None where there is none.

        One that was bought in another currency, or without a price, does not tell what it costs here.
        """
        cached = self._trail.cached(request)
        if cached is None or cached.bought.currency != self._teacher.worst_case(request).currency:
            return None
        if refused := self._account.admit(key, cached.bought):
            return self._refusal(request, refused)
        self._account.settle(key, cached.bought)
        return self._reuse(key, request, cached)

    def _refusal(self, request: Request, refused: Wait | str) -> Reply | Wait:
        if isinstance(refused, Wait):
            return refused
        self.refusal = f"budget reached: {refused}"
        return self._no_reply(request, ReplyOutcome.BUDGET, self.refusal)

    def _fitted(self, key: str, request: Request, *, shorten: bool) -> tuple[Request, Charge, Wait | str | None]:
        """The request at the most that the budget bears of it, its reservation, and why it has none."""
        worst = self._teacher.worst_case(request)
        refused = self._account.admit(key, worst)
        short = self._account.short_reply() if refused and shorten else None
        if short is None or short >= request.sampling.max_tokens:
            return request, worst, refused
        request = replace(request, sampling=replace(request.sampling, max_tokens=short))
        worst = self._teacher.worst_case(request)
        return request, worst, self._account.admit(key, worst)

    def _receive(self, reply: Reply, tell: Tell) -> None:
        sent = self._sent.pop(reply.request)
        reply = replace(reply, request=sent.request.key)
        match reply.outcome:
            case ReplyOutcome.LOST:
                self._lose(sent, reply)
            case ReplyOutcome.UNSENT if sent.unsure:
                self._account.hold(sent.key, sent.worst)
            case ReplyOutcome.UNSENT:
                self._account.settle(sent.key, Charge())
                self._trail.close(sent.key, reply)
            case ReplyOutcome.FAILED | ReplyOutcome.REJECTED if reply.charge.calls:
                self._fail(sent, reply)
            case _:
                self._take(sent, reply, tell)

    def _lose(self, sent: _Sent, reply: Reply) -> None:
        sure = not reply.charge.calls  # that it was not worked off, as a line of an expired batch
        self._losses[sent.key] += not sure
        if self._teacher.repeatable and not sure and self._losses[sent.key] < MOST_TRIES:
            self._account.hold(sent.key, sent.worst)
        else:
            charge = Charge() if sure else replace(sent.worst, estimated=True)
            self._account.settle(sent.key, charge)
            self._trail.close(sent.key, replace(reply, charge=charge))
        self._again.append(sent.request)
        self._miss(reply)

    def _fail(self, sent: _Sent, reply: Reply) -> None:
        if self._teacher.repeatable and (self._losses[sent.key] or sent.unsure):  # the try before may have been billed
            reply = replace(reply, charge=replace(sent.worst, estimated=True))
        self._account.settle(sent.key, reply.charge)
        self._failed[sent.key] = sent.request, reply
        if reply.outcome is ReplyOutcome.REJECTED:
            self._count_rejected(reply)
        else:
            self._miss(reply)

    def _miss(self, reply: Reply) -> None:
        self._silent += bool(reply.charge.calls)
        if self._silent == GIVE_UP_AFTER:
            why = f"{GIVE_UP_AFTER} requests in a row brought no answer: {reply.reason}"
            self._trouble = TeacherError(f"{self._teacher.id}: {why}")

    def _take(self, sent: _Sent, reply: Reply, tell: Tell) -> None:
        self._silent = self._rejected = 0
        self._account.settle(sent.key, reply.charge)
        self._look_for_overrun(sent, reply)
        if reply.outcome is ReplyOutcome.TRUNCATED and sent.most_out < sent.request.sampling.max_tokens:
            why = f"the budget bore no more than {sent.most_out} tokens; it is asked for in full"
            self._trail.close(sent.key, replace(reply, reason=why))
            self._again.append(sent.request)
            return
        self._trail.end(sent.key, sent.request, reply)
        self._accept_failures(tell)
        tell(sent.request, reply)

    def _count_rejected(self, reply: Reply) -> None:
        """One is due to its request, so that a run gets past it; where all are alike, it is something else."""
        self._silent = 0
        self._rejected += 1
        if self._rejected == MOST_REJECTED:
            why = f"{MOST_REJECTED} requests in a row were turned down: {reply.reason}"
            self._trouble = TeacherError(f"{self._teacher.id}: {why}")

    def _look_for_overrun(self, sent: _Sent, reply: Reply) -> None:
        charge, worst = reply.charge, sent.worst
        if not self._overrun and (charge.tokens_out > worst.tokens_out or charge.tokens_in > worst.tokens_in):
            self._overrun = True
            self._note(
                f"{self._teacher.id} counts {charge.tokens_in} + {charge.tokens_out} tokens where at most "
                f"{worst.tokens_in} + {worst.tokens_out} were reserved: caps may be passed by such replies"
            )

    def _accept_failures(self, tell: Tell) -> None:
        failed, self._failed = self._failed, {}
        for key, (request, reply) in failed.items():
            tell(request, self._trail.end(key, request, reply))

    def _no_reply(self, request: Request, outcome: ReplyOutcome, reason: str) -> Reply:
        return Reply(
            request=request.key,
            text="",
            outcome=outcome,
            charge=Charge(),
            teacher=self._teacher.id,
            reason=reason,
        )
