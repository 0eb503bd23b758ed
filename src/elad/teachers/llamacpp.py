"""A GGUF file run in this process by llama.cpp, asked over its own loopback server."""

import hashlib
import importlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elad.errors import ConfigError, require
from elad.kinds import Located
from elad.outcomes import Purpose
from elad.protocols import Teacher
from elad.records import Charge, Reply, Request

__all__ = ["LlamaCpp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCpp:
    """A local model without a price. Needs the extra `llamacpp`.

    Replies at temperature 0 may differ in rare places between runs: the arithmetic depends on what
    else is in flight and on what the prefix cache holds.
    """

    model: Located
    """A GGUF file, or a name that `elad models` lists."""
    concurrency: int = 4
    """Requests in flight at once."""
    context: int = 2048
    """Tokens that one request and its reply may take together."""
    threads: int | None = None
    """None: one per core."""
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "context", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"teacher.{name}: {value} is less than 1")
        require(self.timeout_seconds > 0, "teacher.timeout_seconds", "above 0", self.timeout_seconds)

    def open(self) -> Teacher:
        """The teacher, loaded.

        Raises: StudentError when the model cannot be found, ConfigError when the file is no model.
        """
        from elad.students.models import gguf_path

        path = gguf_path(self.model)
        key = secrets.token_hex(16)  # other users of this machine can reach the port, too
        server = serve(path, parallel=self.concurrency, context=self.context, threads=self.threads, key=key)
        return _Served(self, path, server, key)


def serve(
    path: Path,
    *,
    parallel: int,
    context: int,
    threads: int | None = None,
    port: int = 0,
    key: str | None = None,
) -> Any:
    """A running server on loopback, as long as it is referred to; `.listening_address` is where.

    `port` 0 takes a free one. With a `key`, requests must carry it.
    Raises: ConfigError when the package is missing or the file is no model.
    """
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ImportError:
        raise ConfigError("teacher.kind: llamacpp needs xllamacpp: pip install 'elad[llamacpp]'") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = parallel
    params.n_ctx = context * parallel
    params.port = port
    params.verbosity = -1
    params.ui = False
    if threads is not None:
        params.cpuparams.n_threads = threads
    if key is not None:
        params.api_keys = [key]
    try:
        return xllamacpp.Server(params)
    except RuntimeError:
        raise ConfigError(f"teacher.model: llama.cpp cannot run {path}; is it a complete GGUF file?") from None


class _Served:
    """The endpoint of a server that stops when the teacher is closed."""

    def __init__(self, settings: LlamaCpp, path: Path, server: Any, key: str) -> None:
        from elad.teachers.endpoint import Endpoint, Link

        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        link = Link(
            base_url=f"{server.listening_address}/v1",
            model=path.name,
            price=None,
            concurrency=settings.concurrency,
            timeout_seconds=settings.timeout_seconds,
            attempts=1,
            idempotent=False,
            cached=False,
            free=True,
        )
        self._server = server
        self._endpoint = Endpoint(f"llamacpp:{path.stem}:{sha256[:12]}", link, key)

    @property
    def id(self) -> str:
        return self._endpoint.id

    @property
    def serves(self) -> frozenset[Purpose]:
        return self._endpoint.serves

    @property
    def priced(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return True

    @property
    def way(self) -> str:
        return "local"

    def lost(self, request: Request) -> bool | None:
        return None

    @property
    def scope(self) -> str | None:
        return None

    def worst_case(self, request: Request) -> Charge:
        return self._endpoint.worst_case(request)

    def ask(self, requests: Iterable[Request | None]) -> Iterator[Reply]:
        return self._endpoint.ask(requests)

    def close(self) -> None:
        self._endpoint.close()
        self._server = None
