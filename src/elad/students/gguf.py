"""A model folder as one GGUF file, by llama.cpp's own script where that is at hand."""

import os
import shutil
import subprocess
from pathlib import Path

from elad.errors import InputError

_SCRIPTS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")
"""In a checkout of llama.cpp, and as a package installs it."""
_SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD")


def converter() -> str:
    """The script that converts. Raises: InputError where there is none on the PATH."""
    found = next((path for name in _SCRIPTS if (path := shutil.which(name))), None)
    if found is None:
        raise InputError(
            f"--gguf: needs llama.cpp's {_SCRIPTS[0]} on the PATH, and executable; it comes with llama.cpp "
            "(github.com/ggml-org/llama.cpp). Without --gguf the model folder is written, and can be converted later"
        )
    return found


def convert(script: str, folder: Path, target: Path) -> None:
    """Writes the GGUF file of a model folder, 16 bits a weight. Raises: InputError where the script fails.

    The script is given no variable whose name tells of a secret.
    """
    command = [script, "--outfile", str(target), "--outtype", "auto", str(folder)]
    plain = {name: value for name, value in os.environ.items() if not any(part in name.upper() for part in _SECRETS)}
    done = subprocess.run(command, env=plain, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not target.is_file():
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise InputError(f"--gguf: {script} ended with status {done.returncode}: {said}")
