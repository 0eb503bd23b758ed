"""A trained student as a folder that other tools load: safetensors, tokenizer, settings; nothing of this machine."""

# transformers leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false

import json
import shutil
from pathlib import Path
from typing import Any

from elad.errors import StudentError
from elad.students.transformers import TransformersStudent, holds_adapter, saving

_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json",
              "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model")  # fmt: skip
_PATHS = ("_name_or_path", "_model_name_or_path", "name_or_path")
"""Where a configuration tells of the folder that it came from."""


def write_merged(student: TransformersStudent, target: Path) -> None:
    """Writes all weights in one, as the student has them in memory. Raises: RunFolderError where it cannot."""
    with saving(target):
        student.model.save_pretrained(target, safe_serialization=True)
        student.tokenizer.save_pretrained(target)
        for name in ("config.json", "tokenizer_config.json"):
            _edit(target / name, dict.fromkeys(_PATHS))


def write_adapter(checkpoint: Path, base: str, target: Path) -> None:
    """Writes what was trained alone, to be added to the model that is called `base`.

    Raises: StudentError for a student that was trained whole, RunFolderError where it cannot be written.
    """
    if not holds_adapter(checkpoint):
        raise StudentError(f"{checkpoint}: was trained whole, and has no adapters; take --weights merged")
    with saving(target):
        target.mkdir(parents=True)
        for name in (*_ADAPTER, *_TOKENIZER):
            if name in _ADAPTER or (checkpoint / name).is_file():
                shutil.copyfile(checkpoint / name, target / name)
        _edit(target / "adapter_config.json", {"base_model_name_or_path": base})
        _edit(target / "tokenizer_config.json", dict.fromkeys(_PATHS))


def _edit(path: Path, changes: dict[str, Any]) -> None:
    """Changes keys of a JSON file that it has; those with None are taken out."""
    told = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: changes.get(key, value) for key, value in told.items() if key not in changes or changes[key]}
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
