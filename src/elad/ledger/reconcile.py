"""Do the books add up? Every request, reply, charge and revision of a run against the others."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from elad.ledger.budget import Budget
from elad.ledger.events import CONTROL, MAIN, Kind, Ledger
from elad.ledger.prices import Price
from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply, Revision, from_json

_CENT = 1e-9
"""Of the currency's unit: money is a sum of floats."""
_UNANSWERED = frozenset({ReplyOutcome.LOST, ReplyOutcome.FAILED, ReplyOutcome.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What a ledger holds, and what is wrong with it; empty `problems` is a clean ledger."""

    requests: int
    replies: int
    cached: int
    lost: int
    revisions: int
    spent: Charge
    open: tuple[str, ...]
    """Requests without any word yet: in flight, or of a session that was killed."""
    unused: tuple[str, ...]
    """Replies of revisions that are not finished, as when a budget ended them."""
    problems: tuple[str, ...]


def reconcile(ledger: Ledger) -> Books:
    """Reads the whole ledger.

    Problems are: a reply that nobody asked for, a request with two ends, a revision that rests on a reply
    that is not there or that counts other tokens or money than its replies, a charge that its price
    does not give, money without a price, more tokens than were reserved where no endpoint has reported
    them, and a spending above the caps of all sessions, by all arms together or by one above its part.
    """
    replies = {event.key: from_json(Reply, event.payload) for event in ledger.events(Kind.REPLY)}
    lost = {event.key: from_json(Reply, event.payload) for event in ledger.events(Kind.LOST)}
    reserved = {event.key: from_json(Charge, event.payload["reserved"]) for event in ledger.events(Kind.REQUEST)}
    asked = list(reserved)
    revisions = [from_json(Revision, event.payload) for event in ledger.events(Kind.REVISION)]
    by_request = {reply.request: reply for reply in replies.values()}
    used = {name for revision in revisions for name in revision.requests}
    spent = sum((reply.charge for reply in (*replies.values(), *lost.values())), Charge())
    return Books(
        requests=len(asked),
        replies=len(replies),
        cached=sum(reply.cached for reply in replies.values()),
        lost=len(lost),
        revisions=len(revisions),
        spent=spent,
        open=tuple(key for key in asked if key not in lost and key.partition("#")[0] not in replies),
        unused=tuple(name for name in by_request if name not in used),
        problems=(
            *_trails(asked, replies, lost),
            *_sums(revisions, by_request),
            *_overruns(reserved, replies, lost),
            *_prices(ledger, {"reply": replies, "lost": lost}),
            *_caps(ledger),
        ),
    )


def _trails(asked: list[str], replies: Mapping[str, Reply], lost: Mapping[str, Reply]) -> Iterator[str]:
    tries: dict[str, list[str]] = {}
    for name in asked:
        tries.setdefault(name.partition("#")[0], []).append(name)
    for name in lost.keys() - set(asked):
        yield f"lost {name}: was never sent"
    for key, reply in replies.items():
        unended = [name for name in tries.get(key, ()) if name not in lost]
        unsent = reply.outcome is ReplyOutcome.FAILED and not reply.charge.calls
        expected = (0,) if reply.cached else (0, 1) if unsent else (1,)
        if len(unended) not in expected:
            yield f"reply {key}: {len(unended)} open requests lead to it, expected {expected[-1]}"


def _sums(revisions: list[Revision], replies: Mapping[str, Reply]) -> Iterator[str]:
    for revision in revisions:
        missing = [name for name in revision.requests if name not in replies]
        if missing:
            yield f"revision of {revision.problem_id}: rests on reply {missing[0]}, which is not in the ledger"
            continue
        owed = sum((replies[name].charge for name in revision.requests), Charge())
        told = revision.charge
        if (told.calls, told.tokens_in, told.tokens_out) != (owed.calls, owed.tokens_in, owed.tokens_out):
            yield f"revision of {revision.problem_id}: counts {_amount(told)}, its replies cost {_amount(owed)}"
        elif abs(told.money - owed.money) > _CENT:
            yield f"revision of {revision.problem_id}: counts {told.money}, its replies cost {owed.money}"


def _overruns(reserved: Mapping[str, Charge], replies: Mapping[str, Reply], lost: Mapping[str, Reply]) -> Iterator[str]:
    """What an endpoint reports is booked as it is; what was counted here, or told of no reply, was reserved before.

    Money follows from the tokens, at a price that may have changed since.
    """
    for name, worst in reserved.items():
        reply = lost.get(name) or replies.get(name.partition("#")[0])
        if reply is None or not worst.tokens_in:  # a ledger of version 1 had no reservations
            continue
        charge = reply.charge
        reported = not charge.estimated and reply.outcome not in _UNANSWERED
        if not reported and (charge.tokens_in > worst.tokens_in or charge.tokens_out > worst.tokens_out):
            yield f"request {name}: counts {_amount(charge)}, reserved were {_amount(worst)}"


def _prices(ledger: Ledger, ended: Mapping[str, Mapping[str, Reply]]) -> Iterator[str]:
    known = {price.version_of(batch=batch): (price, batch) for price in price_tables(ledger) for batch in (False, True)}
    for kind, replies in ended.items():
        for key, reply in replies.items():
            charge = reply.charge
            if charge.price_version is None:
                if charge.money:
                    yield f"{kind} {key}: charged {charge.money} without a price"
                continue
            if charge.price_version not in known:
                yield f"{kind} {key}: priced by {charge.price_version}, which no session of this run knew"
                continue
            price, batch = known[charge.price_version]
            tokens = {name: getattr(charge, name) for name in ("tokens_in", "tokens_cached", "tokens_out")}
            due = price.money(**tokens, batch=batch)
            if abs(due - charge.money) > _CENT:
                yield f"{kind} {key}: charged {charge.money}, its tokens cost {due}"


def price_tables(ledger: Ledger) -> list[Price]:
    """The prices that the sessions of a run knew, in order: the teacher's own, and those of a run that is replayed."""
    tables: list[Any] = []
    for event in ledger.events(Kind.SESSION):
        tables += [event.payload["experiment"]["teacher"].get("price"), *event.payload.get("recalled_prices", ())]
    return [from_json(Price, table) for table in tables if table]


def _caps(ledger: Ledger) -> Iterator[str]:
    """Spending above what any session allowed: by all arms together, and by each above its own part."""
    sessions: list[dict[str, Any]] = [event.payload["experiment"] for event in ledger.events(Kind.SESSION)]
    yield from _above("budget", [one["budget"] for one in sessions], ledger.spent())
    shares = [one.get("control", {}).get("share", 0.0) for one in sessions]
    if any(shares):
        parts = [Budget(**one["budget"]).split(share) for one, share in zip(sessions, shares, strict=True)]
        for place, arm in enumerate((MAIN, CONTROL)):
            yield from _above(f"{arm}: budget", [asdict(both[place]) for both in parts], ledger.of(arm).spent())


def _above(name: str, budgets: list[dict[str, Any]], spent: Charge) -> Iterator[str]:
    amounts = {
        "money": spent.money,
        "calls": spent.calls,
        "tokens": spent.tokens_in + spent.tokens_out,
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
    }
    for cap, amount in amounts.items():
        caps = [budget.get(cap) for budget in budgets]
        largest = max((most for most in caps if most is not None), default=None)
        if largest is not None and None not in caps and amount > largest + _CENT:
            yield f"{name}.{cap}: {amount} spent, no session was allowed more than {largest}"


def _amount(charge: Charge) -> str:
    return json.dumps({"calls": charge.calls, "in": charge.tokens_in, "out": charge.tokens_out})
