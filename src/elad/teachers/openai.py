"""Any server that speaks the OpenAI chat protocol: vendors, vLLM, llama.cpp, Ollama."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from elad.errors import ConfigError
from elad.kinds import Located
from elad.ledger.price_forms import AnyPrice
from elad.protocols import Teacher
from elad.teachers.keys import read_key

__all__ = ["OpenAI"]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*|[a-z_]+")
"""Narrower than what a system takes: keys have digits among small letters, or both cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAI:
    """A model behind an OpenAI-compatible endpoint.

    The key is read from the environment variable `api_key_env`, or from a file, when the teacher is opened, and
    kept nowhere else. A server on this machine or in a private network works without one.
    """

    base_url: str = "https://api.openai.com/v1"
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    api_key_file: Located | None = None
    """A file with the key instead, which only its owner may read (mode 600)."""
    price: AnyPrice | None = None
    """Zeros tell that nobody is billed, however often a request is sent: one whose reply was lost is asked again at no
    count. Without a price that is not taken for granted, not even on this machine: a proxy may stand there."""
    channel: Literal["live", "batch", "auto"] = "live"
    """`batch`: requests go through the batch API, at `price.batch_discount` less and within 24 hours; a run that was
    stopped finds its batches again. `auto`: that where the endpoint has it and a discount is known, else `live`."""
    tokenizer: Located | None = None
    """The model's folder, GGUF file or known name on this machine: counts the tokens of replies whose usage the
    endpoint does not tell. Without it such a reply is charged at its worst case."""
    concurrency: int = 64
    """The most requests in flight at once; how many the endpoint bears is found as it answers."""
    timeout_seconds: float = 120.0
    """For one attempt, from sending to the last byte of the reply; one that stalls in the middle takes up to as long
    again, as what is late is given up when its next byte comes."""
    attempts: int = 3
    """How often one request is sent when the endpoint answers with an error of its own (5xx)."""
    idempotent: bool = False
    """The endpoint knows a repeated `Idempotency-Key` and does not bill it again."""
    cache: bool | None = None
    """Reuse replies between runs; None: where the endpoint is not on this machine or in a private network."""

    def __post_init__(self) -> None:
        if urlsplit(self.base_url).scheme not in ("http", "https"):
            raise ConfigError("teacher.base_url: not an http:// or https:// address")
        parts = urlsplit(self.base_url)
        if parts.username is not None or parts.password is not None or parts.query:
            raise ConfigError("teacher.base_url: holds a user, password or query; keys come from teacher.api_key_env")
        if not _VARIABLE.fullmatch(self.api_key_env):
            raise ConfigError("teacher.api_key_env: must be the name of a variable, in capitals; is it the key itself?")
        for name, least in (("concurrency", 1), ("attempts", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"teacher.{name}: {getattr(self, name)} is less than {least}")
        if self.channel not in ("live", "batch", "auto"):
            raise ConfigError(f"teacher.channel: {self.channel!r} is neither live nor batch nor auto")
        if not self.timeout_seconds > 0:
            raise ConfigError(f"teacher.timeout_seconds: {self.timeout_seconds} is not above 0")

    @property
    def priced(self) -> bool:
        """As of the teacher that it opens."""
        return self.price is not None

    def open(self) -> Teacher:
        """The teacher, not yet asked anything.

        Raises: ConfigError when a remote endpoint has no key, or the key cannot be sent in a header.
        """
        from elad.teachers.capabilities import known
        from elad.teachers.channel import way
        from elad.teachers.counting import TokenCounter
        from elad.teachers.endpoint import Link, public_url

        key = read_key(self.api_key_env, self.api_key_file)
        if not key and not _is_local(self.base_url):
            raise ConfigError(f"teacher.api_key_env: set {self.api_key_env}, the key for {public_url(self.base_url)}")
        found = known(self.base_url, self.model)
        link = Link(
            base_url=self.base_url,
            model=self.model,
            price=self.price,
            concurrency=self.concurrency,
            timeout_seconds=self.timeout_seconds,
            attempts=self.attempts,
            idempotent=self.idempotent,
            free=self.price is not None and self.price.free,
            cached=not _is_local(self.base_url) if self.cache is None else self.cache,
            counter=TokenCounter(self.tokenizer) if self.tokenizer else None,
            conceded=frozenset(found.conceded) if found else frozenset(),
            context=found.context if found else None,
        )
        return way(self.channel, f"openai:{self.model}", link, key)


def _is_local(base_url: str) -> bool:
    """Whether the host is this machine or in a private network (an address, or a name without a domain)."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))
