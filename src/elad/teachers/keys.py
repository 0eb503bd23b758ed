"""Where a key comes from: the environment, or a file that nobody else can read."""

import os
from pathlib import Path

from elad.errors import ConfigError

_OTHERS = 0o077
_MOST_BYTES = 4096


def read_key(variable: str, file: str | None) -> str:
    """The key; "" where the environment has none and no file is named. It is kept nowhere else.

    Raises: ConfigError for a file that is missing, that others may read, or that holds no key; and for
    characters that no header takes. No message holds any of the key.
    """
    key = os.environ.get(variable, "").strip() if file is None else _from_file(Path(file).expanduser())
    if not all("!" <= c <= "~" for c in key):
        raise ConfigError(f"{variable if file is None else file}: holds characters that no key has")
    return key


def _from_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()[:_MOST_BYTES].decode("ascii", errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"teacher.api_key_file: {path}: {error.strerror}") from error
    if mode & _OTHERS:
        raise ConfigError(f"teacher.api_key_file: {path}: others may read it; chmod 600 {path}")
    if not text:
        raise ConfigError(f"teacher.api_key_file: {path}: is empty")
    return text
