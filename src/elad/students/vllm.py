"""The `vllm` engine: a vLLM server drafts and is scored; training and embeddings are the `transformers` engine's."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import torch
from pydantic import ConfigDict

from elad.errors import ConfigError, StudentError, require
from elad.kinds import Located
from elad.students.hosts import Own, Remote
from elad.students.served import VllmStudent
from elad.students.transformers import Lora, Transformers, arithmetic

__all__ = ["Vllm"]

_OURS = frozenset(
    "host port uds model tokenizer served-model-name dtype max-model-len max-num-seqs logprobs-mode generation-config "
    "enable-prefix-caching load-format logits-processors trust-remote-code api-key config".split()
)
"""Arguments of the server that decide what is computed, or who may reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vllm:
    """Settings of the engine; `model`, `dtype`, `lora` and `max_length` are those of the `transformers` engine."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    model: Located = "smollm2-135m"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    lora: Lora | None = field(default_factory=Lora)
    max_length: int | None = None
    python: Located | None = None
    """The Python of the environment that vLLM is installed in, as `/opt/vllm/bin/python`: a server is started by it."""
    url: str | None = None
    """A server that runs already and serves `model`, in place of one that is started; it is handed trained adapters."""
    api_key_env: str = "VLLM_API_KEY"
    """The environment variable with the key of the server at `url`, if it wants one."""
    args: tuple[str, ...] = ()
    """More arguments for the server that is started, as `--tensor-parallel-size=2`."""
    device: Literal["cpu", "gpu"] | None = None
    """What the server that is started computes on, which decides how it draws; None: a GPU where torch finds one."""
    concurrency: int = 128
    """Requests that the server is given at once."""
    start_seconds: float = 900.0
    """How long a server may take until it answers."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(self.concurrency >= 1, "student.concurrency", "at least 1", self.concurrency)
        require(self.max_length is None or self.max_length >= 1, "student.max_length", "at least 1", self.max_length)
        require(self.start_seconds > 0, "student.start_seconds", "above 0", self.start_seconds)
        for arg in self.args:
            name = arg.split("=")[0].lstrip("-").replace("_", "-").removeprefix("no-")
            if arg.startswith("-") and any(own.startswith(name) for own in _OURS):  # it may be shortened
                own = "; student.max_length bounds it" if "max-model-len".startswith(name) else ""
                raise ConfigError(f"student.args: {arg}: elad decides that itself{own}")
        which = "one of these two: the Python of vLLM's environment, or the address of a server that runs"
        require((self.python is None) != (self.url is None), "student.python, student.url", which, "none or both")
        if self.url is not None:
            parts = urlsplit(self.url)
            plain = parts.scheme in ("http", "https") and parts.username is None and parts.password is None
            require(plain and not parts.query, "student.url", "an http:// or https:// address alone", "this")
            require(not self.args, "student.args", "left out where there is a student.url", list(self.args))
            require(self.lora is not None, "student.lora", "given: a running server takes adapters, not weights", None)

    def open(self) -> "VllmStudent":
        """The untrained student; no server is started yet. Raises: StudentError where it or its Python is not there."""
        if self.python is not None and shutil.which(self.python) is None:
            raise StudentError(f"student.python: there is no program {self.python!r}")
        return VllmStudent(self, self.host(), checkpoint=None)

    def load(self, folder: Path) -> "VllmStudent":
        """A student that `fit` saved under `folder`. Raises: StudentError when its files are missing or torn."""
        return VllmStudent(self, self.host(), checkpoint=folder)

    @property
    def numbers(self) -> str:
        """What `dtype` is on this machine."""
        return arithmetic(self.dtype)

    @property
    def local(self) -> Transformers:
        """The same student in this process."""
        return Transformers(model=self.model, dtype=self.dtype, lora=self.lora, max_length=self.max_length)

    @property
    def draws(self) -> bool:
        """Whether the server draws by this package's own rule (`seeded`), and not by vLLM's seeds."""
        return self.url is None and (self.device or ("gpu" if torch.cuda.is_available() else "cpu")) == "cpu"

    def host(self) -> Own | Remote:
        """Where all students of these settings are served, in this process."""
        found = _HOSTS.get(self)
        if found is None:
            found = _HOSTS[self] = self._own(self.python) if self.python is not None else self._remote(str(self.url))
        return found

    def _remote(self, url: str) -> Remote:
        key = os.environ.get(self.api_key_env, "")
        return Remote(url.rstrip("/").removesuffix("/v1"), key, self.concurrency)

    def _own(self, python: str) -> Own:
        told = {
            "dtype": self.numbers,
            "max-num-seqs": str(self.concurrency),
            "logprobs-mode": "raw_logprobs",
            "generation-config": "vllm",
            "load-format": "safetensors",
        }
        flags = ["--enable-prefix-caching", "--disable-uvicorn-access-log"]
        return Own(
            python=python,
            arguments=[*(f"--{name}={value}" for name, value in told.items()), *flags, *self.args],
            draws=self.draws,
            concurrency=self.concurrency,
            seconds=self.start_seconds,
        )


_HOSTS: "WeakValueDictionary[Vllm, Own | Remote]" = WeakValueDictionary()
"""As long as there are students of such settings: a run has many of them, and one server."""
