"""What a model's files say of it, without its weights being loaded."""

# transformers leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from elad.errors import ConfigError, StudentError

_MOST_HEADER_BYTES = 100_000_000
_SETTINGS = ("generation_config.json", "config.json")
_NOT_INSTALLED = "transformers is not installed: pip install 'elad[train]'"
_NOT_ADAPTED = ("embed", "lm_head")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The size of a model."""

    bytes: int
    """On disk."""
    parameters: int
    adapted: int
    """Parameters that low-rank adapters on all linear layers have, for each rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """What chats with a model are made of."""

    eos: str | None
    template: str | None
    """The chat template, as it is written."""
    vocabulary: dict[str, int]


def weights(folder: Path) -> Weights:
    """The size of the model in a folder of safetensors files, by their headers.

    Raises: StudentError where there are none or one is damaged.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise StudentError(f"{folder}: holds no safetensors file")
    shapes = [named for file in files for named in _shapes(file)]
    linear = [shape for name, shape in shapes if len(shape) == 2 and not any(part in name for part in _NOT_ADAPTED)]
    return Weights(
        bytes=sum(file.stat().st_size for file in files),
        parameters=sum(prod(shape) for _, shape in shapes),
        adapted=sum(sum(shape) for shape in linear),
    )


def configuration(folder: Path) -> dict[str, Any]:
    """What the configuration in a folder says of the model, or of the part of it that is about text.

    What its file leaves out is what `transformers` takes for it. Raises: StudentError where it cannot be read, or
    transformers is not installed.
    """
    try:
        from transformers import AutoConfig
    except ImportError:
        raise StudentError(_NOT_INSTALLED) from None
    try:
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False).get_text_config().to_dict()
    except Exception as error:  # whatever is wrong with a file that somebody else made
        told = f"{folder / 'config.json'}: cannot be read: {type(error).__name__}: {error}"
        raise StudentError(told[:300]) from error


def length(told: Mapping[str, Any]) -> int | None:
    """Tokens that a model was made for, by its configuration, or by the part of it that is about text.

    Where positions are stretched only in rows beyond some length, as in Phi-3's long variants, that length: what is
    said in a row must not depend on how long its neighbours are.
    """
    rope = told.get("rope_parameters") or told.get("rope_scaling") or {}
    lengths = [told.get("max_position_embeddings"), told.get("n_positions")]
    if (rope.get("rope_type") or rope.get("type")) in ("longrope", "su"):
        lengths += [rope.get("original_max_position_embeddings"), told.get("original_max_position_embeddings")]
    return min((length for length in lengths if type(length) is int), default=None)


def context(told: Mapping[str, Any], most: int | None) -> int:
    """Tokens that a row may have: what the model was made for, and no more than `most` where that is given.

    Raises: ConfigError where neither tells.
    """
    lengths = [bound for bound in (length(told), most) if bound is not None]
    if not lengths:
        model = told.get("model_type", "the model")
        needed = f"must be given: the configuration of {model} does not say how many tokens it was made for"
        raise ConfigError(f"student.max_length: {needed}")
    return min(lengths)


def ends(folder: Path, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a reply: the tokenizer's, and those that the model's own settings name.

    Raises: StudentError where the tokenizer has none, or the settings cannot be read.
    """
    if tokenizer.eos_token_id is None:
        raise StudentError(f"{folder}: its tokenizer has no end-of-text token")
    path = next((folder / name for name in _SETTINGS if (folder / name).is_file()), folder / _SETTINGS[-1])
    try:
        said = json.loads(path.read_bytes())
        told = said.get("eos_token_id") or (said.get("text_config") or {}).get("eos_token_id")
    except (OSError, ValueError, AttributeError) as error:
        raise StudentError(f"{path}: cannot be read: {error}") from error
    own = told if isinstance(told, list) else [told]
    return frozenset([tokenizer.eos_token_id, *(end for end in own if type(end) is int)])


def tokenizer(path: Path) -> Tokenizer:
    """What the tokenizer of a model's folder or GGUF file is made of. Raises: StudentError as `load_tokenizer` does."""
    found = load_tokenizer(path)
    template = str(found.chat_template) if found.chat_template else None
    return Tokenizer(eos=found.eos_token, template=template, vocabulary=found.get_vocab())


def load_tokenizer(path: Path) -> Any:
    """The `transformers` tokenizer of a model's folder or GGUF file.

    Raises: StudentError where it cannot be loaded, or transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise StudentError(_NOT_INSTALLED) from None
    gguf = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    folder = path.parent if gguf else path
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, **gguf)
    except Exception as error:  # whatever is wrong with files that somebody else made
        raise StudentError(f"{path}: its tokenizer cannot be loaded: {type(error).__name__}: {error}"[:300]) from error


def torch_threads() -> int | None:
    """How many threads torch works with; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return torch.get_num_threads()


def multiplies_bfloat16() -> bool:
    """Whether this machine multiplies matrices in bfloat16 itself; in software that is up to seventy times slower.

    Raises: ImportError where torch is not installed.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _shapes(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor, from the header."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > _MOST_HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(opened.read(length))
        for name, tensor in header.items():
            if name != "__metadata__":
                yield name, tuple(int(size) for size in tensor["shape"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise StudentError(f"{file}: not a whole safetensors file: {error}") from error
