"""What an endpoint said of one request, as a reply with its charge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from elad.outcomes import ReplyOutcome
from elad.records import Charge, Reply, Request
from elad.teachers.completion import Completion, Usage

if TYPE_CHECKING:
    from elad.teachers.endpoint import Endpoint

MOST_TEXT_BYTES = 65_536
"""A longer reply is cut there."""
_MOST_SAID = 160
"""Characters of the endpoint's own words in a reason, so that ours have room beside them."""


def answered(endpoint: Endpoint, request: Request, completion: Completion, seconds: float) -> Reply:
    """A reply that came, whatever is in it; `seconds` is the time that it took."""
    text = endpoint.hide(completion.text)
    cut = text.encode()[:MOST_TEXT_BYTES].decode(errors="ignore")
    outcome, reason = completion.outcome, completion.reason
    if outcome is ReplyOutcome.OK and len(cut) < len(text):
        outcome, reason = ReplyOutcome.TRUNCATED, f"longer than {MOST_TEXT_BYTES} bytes"
    usage = completion.usage or endpoint.counted(request, completion.text)
    remarks = [endpoint.clean(reason)[:_MOST_SAID], *_remarks(endpoint, request, completion.model, usage)]
    return Reply(
        request=request.key,
        text=cut,
        outcome=outcome,
        charge=charged(endpoint, usage, seconds),
        teacher=endpoint.id,
        reason=endpoint.clean("; ".join(remark for remark in remarks if remark)),
    )


def _remarks(endpoint: Endpoint, request: Request, model: str | None, usage: Usage) -> Iterator[str]:
    """What the books should tell of a reply, whatever became of it; what concerns money first."""
    most = endpoint.most(request)
    if not usage.reported:
        how = "its tokens were counted here" if endpoint.link.counter else "charged at its worst case"
        yield f"the endpoint told no usage that can be: {how}"
    elif usage.tokens_in > most.tokens_in or usage.tokens_out > most.tokens_out:
        yield (
            f"the endpoint billed {usage.tokens_in} + {usage.tokens_out} tokens, more than the "
            f"{most.tokens_in} + {most.tokens_out} that were reserved"
        )
    asked = endpoint.link.model
    if model and asked not in model:  # `name-2026-01-01` is `name`
        yield f"answered by {endpoint.clean(model)[:80]!r}, asked was {asked!r}"
    if endpoint.conceded:
        yield "the endpoint turned down: " + ", ".join(sorted(endpoint.conceded))


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
