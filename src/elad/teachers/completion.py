"""Reading what an OpenAI-compatible endpoint sent back. Nothing in it is trusted."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from elad.outcomes import ReplyOutcome


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Cached(BaseModel):
    cached_tokens: NonNegativeInt | None = None


class _Usage(BaseModel):
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    total_tokens: NonNegativeInt | None = None
    prompt_tokens_details: _Cached | None = None


class _Body(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None
    model: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of a call, as the endpoint counted them or we did; cached ones are at most those that went in.

    Those that came out are all that were billed beside the prompt, also where a model thinks unseen.
    """

    tokens_in: int
    tokens_cached: int
    tokens_out: int
    reported: bool = True
    """False where it was counted on this side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What one answer of the endpoint says."""

    text: str
    outcome: ReplyOutcome
    reason: str
    usage: Usage | None
    """None where the endpoint reported none that can be read, or be true."""
    model: str | None = None
    """Who the endpoint says has answered."""


def read(body: bytes) -> Completion:
    """The first choice of a chat completion, its text whole.

    Raises: ValueError when the body is no chat completion; the message does not quote it.
    """
    try:
        answer = _Body.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"not a chat completion: {where} {first['msg']}"[:200]) from None
    choice = answer.choices[0]
    text = choice.message.content or ""
    outcome, reason = _outcome(choice)
    model = answer.model if isinstance(answer.model, str) else None
    usage = _usage(answer.usage, said=bool(text or choice.message.refusal))
    return Completion(text=text, outcome=outcome, reason=reason, usage=usage, model=model)


def _outcome(choice: _Choice) -> tuple[ReplyOutcome, str]:
    if choice.message.refusal:
        return ReplyOutcome.REFUSED, choice.message.refusal
    if choice.finish_reason == "content_filter":
        return ReplyOutcome.REFUSED, "stopped by the endpoint's content filter"
    if choice.finish_reason == "length":
        return ReplyOutcome.TRUNCATED, "reached max_tokens"
    if not (choice.message.content or "").strip():
        return ReplyOutcome.EMPTY, "no text"
    return ReplyOutcome.OK, ""


def _usage(reported: object, *, said: bool) -> Usage | None:
    """What was reported; None where it cannot be: no prompt takes no tokens, and no words that were `said`."""
    try:
        usage = _Usage.model_validate(reported)
    except ValidationError:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    beside_the_prompt = (usage.total_tokens or 0) - usage.prompt_tokens  # some count hidden reasoning nowhere else
    tokens_out = max(usage.completion_tokens, beside_the_prompt)
    if usage.prompt_tokens == 0 or (said and tokens_out == 0):
        return None
    cached_tokens = min(cached or 0, usage.prompt_tokens)
    return Usage(tokens_in=usage.prompt_tokens, tokens_cached=cached_tokens, tokens_out=tokens_out)
