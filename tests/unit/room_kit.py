"""What the rooms of strategies have in common: settings that are written down, and cards."""

import ast
import dataclasses
import pkgutil
from importlib import import_module, util
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from elad import methods
from elad.errors import ConfigError
from elad.kinds import build, describe, kinds


def named(room: str, verb: type) -> list[str]:
    """How each strategy with a protocol's verb is named: the kinds of its room, and the classes of methods' files."""
    return kinds(room) + [name for name, strategy in strategies().items() if called(strategy) == called(verb)]


def strategies() -> dict[str, type]:
    """The public dataclasses with a verb in methods' files, by the name that a configuration has for them."""
    files = [f"{methods.__name__}.{info.name}" for info in pkgutil.iter_modules(methods.__path__)]
    classes = [one for file in files for one in vars(import_module(file)).values() if dataclasses.is_dataclass(one)]
    return {
        f"{one.__module__}:{one.__name__}": one
        for one in classes
        if isinstance(one, type) and one.__module__ in files and "__call__" in vars(one) and one.__name__[0] != "_"
    }


def called(verb: type) -> list[str]:
    """What a strategy is called with: the names tell one verb from another."""
    return list(signature(verb.__call__).parameters)


def check_settings(room: str, where: str, strategy: Any, *, in_yaml: bool = True) -> None:
    """A strategy is written down, refuses an unknown key among that, and is built again where YAML can hold it."""
    told = describe(strategy)
    assert told["kind"] in kinds(room) or told["kind"].startswith(f"{methods.__name__}.")
    if in_yaml:
        assert build(room, told, where) == strategy
    with pytest.raises(ConfigError, match=rf"{where}\.no_such_key: unknown key"):
        build(room, told | {"no_such_key": 1}, where)


def parsed(room: str, kind: str) -> ast.Module:
    """The file of a kind, which is not imported for it."""
    spec = util.find_spec(kind.partition(":")[0] if ":" in kind else f"{room}.{kind}")
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
