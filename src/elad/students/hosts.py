"""Where a student's weights are served: by a server of ours, one at a time, or by one that runs already.

A trained student is the next to be asked, and its server takes the place of the last one's: two models in memory, and a
model beside a training, are more than many a machine has.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from elad.errors import StudentError
from elad.students.completions import Api, client
from elad.students.server import Server

_ADAPTERS = "start the server with --enable-lora, and with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment"


class Served(Protocol):
    """What a host needs to know of a student."""

    @property
    def id(self) -> str: ...

    @property
    def context(self) -> int: ...

    @property
    def adapter(self) -> Path | None:
        """The folder of the adapters that it adds to the base model; None for the base itself."""
        ...

    def whole(self, scratch: Path) -> Path:
        """A folder that has all of its weights in one; written into `scratch` where there is none."""
        ...

    def comparison(self) -> Callable[[Api], None]:
        """Holds a server's log-probabilities against plain forward passes. Raises: StudentError where they differ."""
        ...


@dataclass(kw_only=True)
class Own:
    """A server that is started for each student in turn: with its weights, adapters merged."""

    python: str
    arguments: Sequence[str]
    draws: bool
    concurrency: int
    seconds: float
    _server: Server | None = field(default=None, init=False)
    _owner: str = field(default="", init=False)

    def api(self, student: Served) -> Api:
        """A server that runs and has the student's weights. Raises: StudentError where there can be none."""
        if self._server is None or self._owner != student.id or not self._server.running:
            self.close()
            same = student.comparison()  # before the server takes the memory
            server = Server(
                self.python,
                [*self.arguments, f"--max-model-len={student.context}"],
                weights=student.whole,
                draws=self.draws,
                concurrency=self.concurrency,
                seconds=self.seconds,
            )
            try:
                same(server.api)
            except BaseException:
                server.close()
                raise
            self._server, self._owner = server, student.id
        return self._server.api

    def close(self) -> None:
        """Ends the server; it is started again when it is wanted."""
        if self._server is not None:
            self._server.close()
        self._server = None


class Remote:
    """A server that runs already, of the base model; it is handed trained adapters, and forgets them again."""

    def __init__(self, url: str, key: str, concurrency: int) -> None:
        http = client(url, key=key, connections=concurrency + 1)
        weakref.finalize(self, http.close)
        self._base = Api(http=http, model="", concurrency=concurrency, trouble=lambda what: f"{url}: {what}")
        self._api: Api | None = None
        self._owner = ""
        self._handed: str | None = None

    def api(self, student: Served) -> Api:
        """The server, asked for the student's weights. Raises: StudentError where it has others."""
        if self._api is None or self._owner != student.id:
            self.close()
            same = student.comparison()
            api = replace(self._base, model=self._name(student))
            same(api)
            self._api, self._owner = api, student.id
        return self._api

    def close(self) -> None:
        """Has the server forget what it was handed."""
        self._api = None
        if self._handed is not None:
            self._base.post("/v1/unload_lora_adapter", {"lora_name": self._handed})
        self._handed = None

    def _name(self, student: Served) -> str:
        served = self._base.models()
        if student.adapter is None:
            bases = [name for name, parent in served if parent is None]
            if not bases:
                raise StudentError(self._base.trouble("it serves no model"))
            return bases[0]
        name = f"elad-{student.id}"
        if name not in [known for known, _ in served]:
            told = {"lora_name": name, "lora_path": str(student.adapter.absolute())}
            try:
                self._base.post("/v1/load_lora_adapter", told)
            except StudentError as error:
                raise StudentError(f"{error}; {_ADAPTERS}, and let it read {student.adapter.absolute()}") from error
            self._handed = name
        return name
