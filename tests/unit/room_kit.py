"""What the rooms of strategies have in common: settings that are written down, and cards."""

import ast
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from elad.errors import ConfigError
from elad.kinds import build, describe, kinds


def check_settings(room: str, where: str, strategy: Any, *, in_yaml: bool = True) -> None:
    """A strategy is written down, refuses an unknown key among that, and is built again where YAML can hold it."""
    told = describe(strategy)
    assert told["kind"] in kinds(room)
    if in_yaml:
        assert build(room, told, where) == strategy
    with pytest.raises(ConfigError, match=rf"{where}\.no_such_key: unknown key"):
        build(room, told | {"no_such_key": 1}, where)


def parsed(room: str, kind: str) -> ast.Module:
    """The file of a kind, which is not imported for it."""
    spec = util.find_spec(f"{room}.{kind}")
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
