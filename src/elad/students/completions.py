"""What is asked of a vLLM server over HTTP: token ids in, token ids and their log-probabilities out."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from math import nan
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError

from elad.errors import StudentError
from elad.students.replies import ASK

T = TypeVar("T")

_SILENCE_SECONDS = 1800.0
"""A server that has sent nothing for so long has failed: requests wait in its queue, and a long one takes minutes."""
_KEPT_SECONDS = 2.0
"""An unused connection is closed before the server does so, after five seconds: a request might cross with that."""
_MOST_BYTES = 256 * 2**20
_SAID_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weight:
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    token_logprobs: list[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    token_ids: list[int]
    logprobs: _Weights | None = None
    """None where no token was written, as at the end of a stream."""
    prompt_logprobs: list[dict[int, _Weight] | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Completion:
    choices: list[_Choice]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    id: str
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Models:
    data: list[_Model]


_COMPLETION, _MODELS = TypeAdapter(_Completion), TypeAdapter(_Models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some tokens that the server wrote, and the log-probability of each: of the raw logits, in nats."""

    tokens: list[int]
    logs: list[float]
    """No number where the logits were none."""
    prompt: list[float]
    """Of each token of the prompt but the first, if that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A server, one of the models it serves, and how many requests it is given at once."""

    http: httpx2.Client
    model: str
    concurrency: int
    trouble: Callable[[str], str]
    """What is told of a failure, given what the client knows of it."""

    def models(self) -> list[tuple[str, str | None]]:
        """The names of what is served, and of what each is an adapter, if it is one."""
        found = self._read(_MODELS, b"".join(self._sent("GET", "/v1/models")))
        return [(model.id, model.parent) for model in found.data]

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Sends what has no answer. Raises: StudentError where it is turned down."""
        for _ in self._sent("POST", path, body):
            pass

    def complete(self, row: Sequence[int], asked: dict[str, Any]) -> list[Piece]:
        """What the server writes after the row, in one piece."""
        return [self._piece(b"".join(self._sent("POST", "/v1/completions", self._body(row, asked))), row)]

    def pieces(self, row: Sequence[int], asked: dict[str, Any]) -> Iterator[Piece]:
        """What the server writes after the row, as it is written; it writes no more once nobody asks for it."""
        body = self._body(row, asked) | {"stream": True, "stream_interval": ASK}
        rest = b""
        with closing(self._sent("POST", "/v1/completions", body)) as parts:
            for part in parts:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    told = line.strip().removeprefix(b"data:").strip()
                    if told.startswith(b"{"):
                        yield self._piece(told, row)

    def side_by_side(self, work: Callable[[int], T], count: int) -> list[T]:
        """`work(0)` to `work(count - 1)`, `concurrency` of them at a time; the first failure ends the others."""
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                return list(pool.map(work, range(count)))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _body(self, row: Sequence[int], asked: dict[str, Any]) -> dict[str, Any]:
        always = {"model": self.model, "prompt": list(row), "logprobs": 0, "return_token_ids": True}
        return always | asked

    def _sent(self, method: str, path: str, body: dict[str, Any] | None = None) -> Generator[bytes]:
        """The answer's body as it comes. Raises: StudentError for one that is bad, broken off or too long."""
        size = 0
        try:
            with self.http.stream(method, path, json=body) as response:
                for part in response.iter_bytes():
                    size += len(part)
                    if response.is_error or size > _MOST_BYTES:
                        said = " ".join(part.decode(errors="replace").split())[:_SAID_CHARS]
                        raise StudentError(self.trouble(f"{path} answers {response.status_code}: {said}"))
                    yield part
                if response.is_error:
                    raise StudentError(self.trouble(f"{path} answers {response.status_code}"))
        except httpx2.HTTPError as error:
            raise StudentError(self.trouble(_named(error))) from error

    def _piece(self, told: bytes, row: Sequence[int]) -> Piece:
        try:
            (choice,) = self._read(_COMPLETION, told).choices
            told_of = choice.logprobs.token_logprobs if choice.logprobs else []
            logs = [nan if log is None else log for log in told_of]
            given = (choice.prompt_logprobs or [])[1:]
            prompt = [found[token].logprob for token, found in zip(row[1:], given, strict=False) if found is not None]
        except (ValueError, KeyError) as error:
            raise StudentError(self.trouble(f"a reply lacks what was asked for: {_named(error)}")) from error
        if len(logs) != len(choice.token_ids):
            raise StudentError(self.trouble("a reply has other log-probabilities than tokens"))
        return Piece(tokens=choice.token_ids, logs=logs, prompt=prompt)

    def _read(self, form: TypeAdapter[T], told: bytes) -> T:
        try:
            return form.validate_json(told)
        except ValidationError as error:
            raise StudentError(self.trouble(f"a reply cannot be read: {_named(error)}")) from error


def client(where: str, *, key: str = "", socket: str | None = None, connections: int) -> httpx2.Client:
    """A client for an address, or for a socket in the file system; `key` goes into each request's head."""
    limits = httpx2.Limits(max_connections=connections, keepalive_expiry=_KEPT_SECONDS)
    return httpx2.Client(
        base_url=where,
        transport=httpx2.HTTPTransport(uds=socket, limits=limits),
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx2.Timeout(_SILENCE_SECONDS, connect=10.0),
    )


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_SAID_CHARS]}"
