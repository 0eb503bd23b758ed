"""A scripted teacher for tests and rehearsals: the reference's answers, spoilt by design."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Any

from elad.errors import ConfigError
from elad.ledger.prices import Price
from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Charge, Reply, Request, derive_seed
from elad.tasks.families import task_of
from elad.teachers.counting import estimate_tokens
from elad.teachers.local import Local
from elad.teachers.reference import answer

__all__ = ["Fake"]

_JSON = frozenset({Purpose.JUDGE, Purpose.COMPARE, Purpose.JUDGE_STEP})


class Fault(StrEnum):
    """Ways to spoil a reply."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    FAILED = "failed"
    GARBAGE = "garbage"
    """Neither JSON nor a solution."""
    WRONG_INDEX = "wrong_index"
    """Names a step that there is not; replies without an index stay as they are."""
    OTHER_LANGUAGE = "other_language"
    COPIED = "copied"
    """Repairs a step with itself; replies without a repair stay as they are."""
    WRONG_END = "wrong_end"
    """Concludes with another answer; replies without a conclusion stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fake:
    """Answers as `Reference` does, and spoils a share of the replies.

    Which replies are spoilt, and how, follows from the request and `seed` alone, so that neither
    order nor number of requests matters. Tokens are estimated as UTF-8 bytes / 3.
    """

    faults: Mapping[Fault, float] = field(default_factory=dict[Fault, float])
    """Share of the replies, 0..1, for each fault; together at most 1."""
    seed: int = 0
    price: Price | None = None

    def __post_init__(self) -> None:
        shares = list(self.faults.values())
        if not all(0 <= share <= 1 for share in shares) or sum(shares) > 1 + 1e-9:
            raise ConfigError("teacher.faults: shares lie in 0..1 and add up to at most 1")

    def open(self) -> "OpenFake":
        """The teacher."""
        return OpenFake(id=self._id, serves=frozenset(Purpose), answer=self._reply)

    def fault(self, request: Request) -> Fault | None:
        """What the reply to a request suffers from, if anything."""
        drawn = Random(derive_seed(self.seed, request.key)).random()
        for fault, share in sorted(self.faults.items()):
            drawn -= share
            if drawn < 0:
                return fault
        return None

    @property
    def _id(self) -> str:
        return f"fake:{self.seed}"

    def _reply(self, request: Request) -> Reply:
        reply = answer(request, self._id)
        fault = self.fault(request)
        if fault is not None and reply.outcome is ReplyOutcome.OK:
            reply = _SPOIL[fault](request, reply)
        return replace(reply, charge=self._charge(request, reply))

    def _charge(self, request: Request, reply: Reply) -> Charge:
        if reply.outcome is ReplyOutcome.FAILED:
            return Charge(calls=1)
        tokens_in = sum(estimate_tokens(message.content) for message in request.messages)
        tokens_out = estimate_tokens(reply.text)
        price = self.price
        return Charge(
            calls=1,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            money=price.money(tokens_in=tokens_in, tokens_out=tokens_out) if price else 0.0,
            currency=price.currency if price else None,
            price_version=price.version if price else None,
            estimated=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFake(Local):
    """The open teacher; `asked` holds every request that was drawn, in order."""

    asked: list[Request] = field(default_factory=list[Request])

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        return Local.ask(self, map(self._noted, requests))

    def _noted(self, request: Request | None) -> Request | None:
        if request is not None:
            self.asked.append(request)
        return request


def _ended(outcome: ReplyOutcome, share: float) -> Callable[[Request, Reply], Reply]:
    """A reply that stops after a share of its text."""

    def spoil(_: Request, reply: Reply) -> Reply:
        text = reply.text[: int(len(reply.text) * share)]
        return replace(reply, text=text, outcome=outcome, reason=f"scripted: {outcome}")

    return spoil


def _saying(text: str) -> Callable[[Request, Reply], Reply]:
    return lambda _, reply: replace(reply, text=text)


def _wrong_index(request: Request, reply: Reply) -> Reply:
    if request.purpose not in (Purpose.JUDGE, Purpose.COMPARE):
        return reply
    return _changed(reply, first_error=len(request.steps) + 7, corrected_step="This step is not there.")


def _copied(request: Request, reply: Reply) -> Reply:
    """The step in question again; a chain found right is then said to be wrong at its first step."""
    if not request.steps:
        return reply
    if request.purpose is Purpose.REPAIR:
        return replace(reply, text=request.steps[-1])
    if request.purpose is Purpose.JUDGE_STEP:
        return _changed(reply, correct=False, corrected_step=request.steps[-1])
    if request.purpose in _JSON:
        index = json.loads(reply.text)["first_error"] or 0
        return _changed(reply, first_error=index, corrected_step=request.steps[index])
    return reply


def _wrong_end(request: Request, reply: Reply) -> Reply:
    problem = request.problem
    task = task_of(problem, problem.answer or "")
    right = task.conclusion(problem, problem.answer or "")
    wrong = task.conclusion(problem, task.wrong_answer(problem))
    if request.purpose in _JSON:
        said = json.loads(reply.text)
        return _changed(reply, corrected_step=said["corrected_step"].replace(right, wrong))
    return replace(reply, text=reply.text.replace(right, wrong))


def _changed(reply: Reply, **fields: Any) -> Reply:
    return replace(reply, text=json.dumps({**json.loads(reply.text), **fields}, ensure_ascii=False))


_SPOIL: Mapping[Fault, Callable[[Request, Reply], Reply]] = {
    Fault.EMPTY: _ended(ReplyOutcome.EMPTY, 0.0),
    Fault.TRUNCATED: _ended(ReplyOutcome.TRUNCATED, 0.5),
    Fault.REFUSED: _ended(ReplyOutcome.REFUSED, 0.0),
    Fault.FAILED: _ended(ReplyOutcome.FAILED, 0.0),
    Fault.GARBAGE: _saying("Sure! Here it is: {first_error: maybe,, [ and so on"),
    Fault.WRONG_INDEX: _wrong_index,
    Fault.OTHER_LANGUAGE: _saying("Сначала сложим числа, затем вычтем остаток и запишем ответ словами."),
    Fault.COPIED: _copied,
    Fault.WRONG_END: _wrong_end,
}
