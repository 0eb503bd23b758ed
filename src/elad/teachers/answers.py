"""What an endpoint said of one request, as a reply with its charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elad.records import Charge, Reply, ReplyOutcome, Request
from elad.teachers.completion import Completion, Usage

if TYPE_CHECKING:
    from elad.teachers.endpoint import Endpoint

_WORST = "charged at its worst case"


def answered(endpoint: Endpoint, request: Request, completion: Completion, seconds: float) -> Reply:
    """A reply that came, whatever is in it; `seconds` is the time that it took."""
    reason = completion.reason
    if not reason and endpoint.conceded:
        reason = "the endpoint turned down: " + ", ".join(sorted(endpoint.conceded))
    asked = endpoint.link.model
    if not reason and completion.model and asked not in completion.model:  # `name-2026-01-01` is `name`
        reason = f"answered by {completion.model[:80]!r}, asked was {asked!r}"
    usage = completion.usage or endpoint.counted(request, completion.text)
    if not reason and not usage.reported:
        reason = "the endpoint told no usage: " + ("its tokens were counted here" if endpoint.link.counter else _WORST)
    return Reply(
        request=request.key,
        text=completion.text,
        outcome=completion.outcome,
        charge=charged(endpoint, usage, seconds),
        teacher=endpoint.id,
        reason=endpoint.clean(reason),
    )


def unanswered(endpoint: Endpoint, request: Request, outcome: ReplyOutcome, reason: str, charge: Charge) -> Reply:
    """A reply that says why there is none."""
    return Reply(
        request=request.key,
        text="",
        outcome=outcome,
        charge=charge,
        teacher=endpoint.id,
        reason=endpoint.clean(reason),
    )


def charged(endpoint: Endpoint, usage: Usage, seconds: float) -> Charge:
    """What the tokens of one call cost."""
    price, batch = endpoint.link.price, endpoint.link.batch
    tokens = {"tokens_in": usage.tokens_in, "tokens_cached": usage.tokens_cached, "tokens_out": usage.tokens_out}
    return Charge(
        calls=1,
        **tokens,
        seconds=seconds,
        money=price.money(**tokens, batch=batch) if price else 0.0,
        currency=price.currency if price else None,
        price_version=price.version_of(batch=batch) if price else None,
        estimated=not usage.reported,
    )
