"""Small requests that show what an endpoint does with what a run will ask of it, one probe each."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from elad.doctor.finding import Finding, no, ok, unknown
from elad.doctor.trouble import TurnedDownError, UnansweredError
from elad.doctor.wire import Answer, Wire
from elad.outcomes import Purpose, ReplyOutcome
from elad.records import Message, Problem, Request, Sampling
from elad.teachers.endpoint import Concession

_SHORT = 16
"""Tokens of a reply whose words do not matter."""
_WHITE_BOX = "nothing: only white-box objectives need it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One thing to find out, and all that it may send, each request once."""

    name: str
    asks: tuple[Request, ...]
    look: Callable[[Wire], Finding]
    """Raises: UnansweredError and TurnedDownError where nothing can be said."""

    def carry_out(self, wire: Wire) -> Finding:
        """The finding; `unknown` where the endpoint gives no usable answer."""
        try:
            return self.look(wire)
        except (UnansweredError, TurnedDownError) as error:
            return unknown(self.name, str(error))


def _request(content: str, *, schema: Mapping[str, Any] | None = None, **sampling: Any) -> Request:
    return Request(
        problem=Problem(id="doctor", question=""),
        purpose=Purpose.SOLVE,
        messages=(Message(role="user", content=content),),
        schema=schema,
        sampling=Sampling(**{"max_tokens": _SHORT, **sampling}),
        seed=1,
    )


_CHAT = _request("Say yes.")
_COUNT = _request("Count from 1 to 40, in digits.", max_tokens=8)
_JSON = _request(
    "Name an animal.",
    schema={
        "type": "object",
        "properties": {"legs_of_it": {"type": "integer"}},
        "required": ["legs_of_it"],
        "additionalProperties": False,
    },
    max_tokens=48,
)
"""The prompt says nothing of JSON: only the schema can make the reply one."""
_DRAWN = _request("Name a colour.", temperature=0.7)
_LONG = _request("Say yes to: " + "house tree water road child hand night city door world " * 115)
"""About 1,160 tokens by any tokenizer: some endpoints cache nothing below 1,024, and some contexts are short."""
_TWICE = _request("Name a river.", temperature=0.7)


def _chat(wire: Wire) -> Finding:
    answer = wire.ask(_CHAT)
    return ok("answers", f"a short request was answered in {answer.seconds:.1f} s", fatal=True)


def _max_tokens(wire: Wire) -> Finding:
    answer = wire.ask(_COUNT)
    name = "max_completion_tokens" if Concession.MAX_TOKENS in wire.conceded else "max_tokens"
    usage, outcome = answer.completion.usage, answer.completion.outcome
    most = _COUNT.sampling.max_tokens
    if usage and usage.tokens_out > most:
        said = f"{usage.tokens_out} tokens came where {name} was {most}"
        return no("max_tokens", said, "caps on tokens and money may be overrun: keep them well below what you can bear")
    if outcome is ReplyOutcome.TRUNCATED:
        return ok("max_tokens", f"{name} is obeyed")
    return unknown("max_tokens", f"{name} is accepted; the reply was too short to tell whether it is obeyed", "nothing")


def _structured(wire: Wire) -> Finding:
    name = "structured output"
    answer = wire.ask(_JSON)
    if Concession.SCHEMA in wire.conceded:
        return no(name, "response_format is turned down", "nothing: runs ask without, and read JSON from the text")
    if answer.completion.outcome is ReplyOutcome.TRUNCATED:
        return unknown(name, "accepted; the reply was cut off before it could be read", "nothing")
    if _follows(answer.completion.text):
        return ok(name, "the reply follows the schema")
    return no(
        name,
        "response_format is accepted and ignored: the reply does not follow the schema",
        "nothing: JSON is read from the text, and an unreadable reply is shown back once; `rollout` needs no JSON",
    )


def _follows(text: str) -> bool:
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and type(cast("dict[str, Any]", said).get("legs_of_it")) is int


def _sampling(wire: Wire) -> Finding:
    try:
        wire.ask(_DRAWN)
    except TurnedDownError as error:
        if not error.concerns_fields:
            raise
        what = "a seed is turned down" if _bears(wire, seed=None) else f"turned down: {error}"
        return no("sampling", what, "let every question have its gold answer: `rollout` then draws no votes")
    top_p = "top_p too" if _bears(wire, top_p=0.9) else "top_p is turned down, and no run sends it"
    if Concession.SAMPLING in wire.conceded:
        told = f"it takes its own temperature only ({top_p})"
        return no("sampling", told, "nothing: runs ask without; replies vary, and so do repeated runs")
    return ok("sampling", f"temperature and seed are accepted ({top_p})")


def _bears(wire: Wire, **fields: Any) -> bool:
    try:
        wire.ask(_DRAWN, **fields)
    except TurnedDownError as error:
        if not error.concerns_fields:
            raise
        return False
    return True


def _logprobs(wire: Wire) -> Finding:
    for asked in (20, 5):
        try:
            told = alternatives(wire.ask(_CHAT, logprobs=True, top_logprobs=asked))
        except TurnedDownError as error:
            if not error.concerns_fields:
                raise
            continue
        if told:
            return ok("log-probs", f"{told} alternatives for each token, of {asked} asked for")
    return no("log-probs", "none are told, with 20 or 5 alternatives asked for", _WHITE_BOX)


def alternatives(answer: Answer) -> int:
    """How many log-probabilities the first token of a reply comes with; 0 where there are none."""
    at: Any = answer.data
    for step in ("choices", 0, "logprobs", "content", 0, "top_logprobs"):
        at = _within(at, step)
    return len(cast("list[Any]", at)) if isinstance(at, list) else 0


def _cache(wire: Wire) -> Finding:
    told = [_cached(wire.ask(_LONG)) for _ in range(2)]
    counts = [count for count in told if count is not None]
    size = max((answer.completion.usage.tokens_in for answer in wire.answers if answer.completion.usage), default=0)
    if not counts:
        return unknown("prefix cache", "replies do not tell cached_tokens", "nothing: input is charged in full")
    if max(counts):
        return ok("prefix cache", f"{max(counts)} of {size} tokens of a repeated prompt came from a cache")
    return no(
        "prefix cache",
        f"0 of {size} tokens of a repeated prompt came from a cache",
        "nothing; a server of your own may have one to switch on (vLLM: --enable-prefix-caching)",
    )


def _cached(answer: Answer) -> int | None:
    at: Any = answer.data
    for step in ("usage", "prompt_tokens_details", "cached_tokens"):
        at = _within(at, step)
    return at if type(at) is int else None


def _within(at: object, step: str | int) -> Any:
    if isinstance(at, dict) and isinstance(step, str):
        return cast("dict[str, Any]", at).get(step)
    if isinstance(at, list) and isinstance(step, int):
        return next(iter(cast("list[Any]", at)[step:]), None)
    return None


def _idempotency(wire: Wire) -> Finding:
    name, set_to = "idempotency", wire.endpoint.link.idempotent
    nonce = f"elad-doctor-{secrets.token_hex(8)}"
    plain = wire.ask(_TWICE)
    first, second = (wire.ask(_TWICE, key=nonce) for _ in range(2))
    ids = [answer.data.get("id") for answer in (plain, first, second)]
    replayed = second.headers.get("idempotent-replayed", "").lower() == "true"
    if replayed or (ids[1] == ids[2] != ids[0] and ids[1]):
        advice = "teacher.idempotent: true lets a run ask again for a lost reply, if your bill shows that it is free"
        return ok(name, "the same Idempotency-Key brought the same reply again" + ("" if set_to else f"; {advice}"))
    remedy = "set teacher.idempotent: false: a reply that is lost may be billed again" if set_to else "nothing"
    if ids[0] and ids[0] == ids[1]:
        return unknown(name, "replies have the same id with and without an Idempotency-Key", remedy)
    return no(name, "the same Idempotency-Key brought another reply", remedy)


PROBES = (
    Probe(name="answers", asks=(_CHAT,), look=_chat),
    Probe(name="max_tokens", asks=(_COUNT,), look=_max_tokens),
    Probe(name="structured output", asks=(_JSON,), look=_structured),
    Probe(name="sampling", asks=(_DRAWN,) * 2, look=_sampling),
    Probe(name="log-probs", asks=(_CHAT,) * 2, look=_logprobs),
    Probe(name="prefix cache", asks=(_LONG,) * 2, look=_cache),
    Probe(name="idempotency", asks=(_TWICE,) * 3, look=_idempotency),
)
"""In the order in which they are carried out; the first learns what the others must do without."""
