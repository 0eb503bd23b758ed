"""What the chaos teacher says: chat completions, in order or with something wrong, and errors."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from elad.records import digest
from elad.testing.faults import Fault
from elad.testing.wire import Answer

Messages: TypeAlias = list[dict[str, Any]]
"""Messages as they were sent."""

BYTES_PER_TOKEN = 4
_MADE_AT = 1_700_000_000
_DECLINED = "I'm sorry, but I can't help with that."
_CONTENT = b'"content":"'
_FILLING = b"x" * 30_000_000


class BadRequestError(Exception):
    """A request that cannot be served, in words; `param` names the part that is wrong."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is used of a chat request's body."""

    messages: Messages
    model: str
    most_tokens: int | None

    @property
    def tokens(self) -> int:
        """By the rule, over the contents of all messages."""
        return sum(count_tokens(_text(message.get("content"))) for message in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A chat completion as JSON values, and what it costs."""

    data: dict[str, Any]
    tokens_in: int
    tokens_out: int
    money: float

    @property
    def body(self) -> bytes:
        """The completion as it is sent."""
        return as_json(self.data)

    @property
    def costs(self) -> dict[str, float]:
        """What the books say of it."""
        return {"tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "money": self.money}


def count_tokens(text: str) -> int:
    """Tokens by rule: UTF-8 bytes divided by 4, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def digest_answer(messages: Messages) -> str:
    """A short text that the messages decide, with a conclusion.

    >>> digest_answer([{"role": "user", "content": "How much is 2 + 2?"}])
    'By the digest 782b of what was asked. The answer is 78.'
    """
    seen = digest(messages)
    return f"By the digest {seen[:4]} of what was asked. The answer is {int(seen, 16) % 100}."


def read_json(body: bytes) -> dict[str, Any]:
    """A request's body. Raises: BadRequestError where it is no JSON object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequestError("We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise BadRequestError("The body of your request is not a JSON object.")
    return cast(dict[str, Any], value)


def read_prompt(body: Mapping[str, Any]) -> Prompt:
    """What is asked. Raises: BadRequestError where something is missing or not served here."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("'messages' must be a list of at least one message.", "messages")
    listed = cast(list[object], messages)
    if not all(isinstance(message, dict) for message in listed):
        raise BadRequestError("Every message must be an object.", "messages")
    if not isinstance(body.get("model"), str):
        raise BadRequestError("you must provide a model parameter", "model")
    if body.get("stream"):
        raise BadRequestError("Streaming is not supported here.", "stream")
    most = body.get("max_completion_tokens", body.get("max_tokens"))
    if most is not None and not (type(most) is int and most >= 1):
        raise BadRequestError("The most tokens of a reply must be an integer of at least 1.", "max_tokens")
    return Prompt(messages=cast(Messages, listed), model=body["model"], most_tokens=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Writes completions. `price` is money for a million tokens in, and for a million out."""

    answer: Callable[[Messages], str]
    price: tuple[float, float]

    def write(self, prompt: Prompt, fault: Fault | None = None, *, factor: float = 1.0) -> Completion:
        """The completion, with the fault where it lies in what is said; at `factor` times the price.

        Raises: whatever `answer` raises.
        """
        words, finish = self._say(prompt, fault)
        refusal = words if fault is Fault.REFUSAL else None
        tokens_in, tokens_out = prompt.tokens, count_tokens(words)
        price_in, price_out = (price * factor for price in self.price)
        message = {"role": "assistant", "content": None if refusal else words, "refusal": refusal}
        usage = {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": 0},
            "x_price": {"input": price_in, "output": price_out},
        }
        data = {
            "id": f"chatcmpl-{digest(prompt.messages)}",
            "object": "chat.completion",
            "created": _MADE_AT,
            "model": prompt.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": usage,
        }
        return Completion(
            data=_flawed(data, fault),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            money=(tokens_in * price_in + tokens_out * price_out) / 1e6,
        )

    def _say(self, prompt: Prompt, fault: Fault | None) -> tuple[str, str]:
        """The words, and why they end."""
        full = _DECLINED if fault is Fault.REFUSAL else self.answer(prompt.messages)
        words = _first_tokens(full, prompt.most_tokens)
        finish = "stop" if words == full else "length"
        if fault is Fault.LENGTH or fault is Fault.CONTENT_FILTER:
            words, finish = words[: len(words) // 2], fault.name.lower()
        return words, finish


def _first_tokens(text: str, most: int | None) -> str:
    if most is None or count_tokens(text) <= most:
        return text
    return text.encode("utf-8", "surrogatepass")[: most * BYTES_PER_TOKEN].decode(errors="ignore")


def _flawed(data: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    match fault:
        case Fault.WRONG_SCHEMA:
            return {"status": "done", "result": data["choices"][0]["message"]["content"]}
        case Fault.EMPTY_CHOICES:
            return data | {"choices": []}
        case Fault.NO_USAGE:
            return {name: value for name, value in data.items() if name != "usage"}
        case Fault.WRONG_MODEL:
            return data | {"model": f"not-{data['model']}"}
        case _:
            return data


def spoiled(body: bytes, fault: Fault | None) -> bytes:
    """The body of a completion with the fault where it lies in the bytes."""
    match fault:
        case Fault.TRUNCATED_JSON:
            return body[: len(body) // 2]
        case Fault.INVALID_UTF8:
            return body.replace(_CONTENT, _CONTENT + b"\xff\xfe", 1)
        case Fault.HUGE:
            return body.replace(_CONTENT, _CONTENT + _FILLING, 1)
        case _:
            return body


def as_json(data: object) -> bytes:
    """JSON without blanks."""
    return json.dumps(data, separators=(",", ":")).encode()


def _text(content: object) -> str:
    """A message's content as one text; parts of other kinds by their JSON."""
    return content if isinstance(content, str) else json.dumps(content or "")


def error_body(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """An error in the protocol's terms."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def bad_request(error: BadRequestError, status: int = 400) -> Answer:
    """The answer to a request that cannot be served."""
    body = error_body(str(error), kind="invalid_request_error", code=error.code, param=error.param)
    return Answer(status=status, body=as_json(body))


def no_rights(message: str) -> Answer:
    """The answer to a key that is wrong or has expired."""
    body = error_body(message, kind="authentication_error", code="invalid_api_key")
    return Answer(status=401, body=as_json(body))


def too_many(retry_after_seconds: float | None) -> Answer:
    """The answer to a request beyond a limit; with `Retry-After` (decimals too) unless None."""
    body = error_body("Rate limit reached for requests", kind="requests", code="rate_limit_exceeded")
    headers = () if retry_after_seconds is None else (("Retry-After", f"{retry_after_seconds:g}"),)
    return Answer(status=429, body=as_json(body), headers=headers)


def failure(status: int, message: str) -> Answer:
    """The answer of a server in trouble."""
    return Answer(status=status, body=as_json(error_body(message, kind="server_error")))


def html(status: int) -> Answer:
    """A page of a proxy that stands before the server."""
    page = "<html>\n<head><title>502 Bad Gateway</title></head>\n<body><h1>502 Bad Gateway</h1></body>\n</html>\n"
    return Answer(status=status, body=page.encode(), content_type="text/html")


def too_long(tokens: int, limit: int) -> BadRequestError:
    """The complaint about a prompt that is over the context limit."""
    return BadRequestError(
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages.",
        param="messages",
        code="context_length_exceeded",
    )
