"""Strategies by name: a file's name is its `kind`, and the import system is the registry.

`{kind: top, ...}` in room `elad.selection` is the one class in `__all__` of `elad/selection/top.py`,
built from the other keys. `kind: my_module:MyClass` takes a class of the user's own, and so does what is new in a
method's file: `elad.methods.NAME:Class`.
"""

import dataclasses
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, PlainSerializer, TypeAdapter, ValidationError, ValidationInfo

from elad.errors import ConfigError, nearest

_REMEDY = "pip install 'elad[train]' (students) or 'elad[llamacpp]' (llamacpp teachers)"


def build(room: str, value: object, where: str, *, tag: str = "kind", base: Path = Path()) -> Any:
    """The strategy that a mapping describes; a dataclass instance is one already.

    Files that it names are relative to `base`.

    Raises: ConfigError naming `where` for what is none of these, and `where.key` for an unknown kind, an unknown
    key or a wrong type.
    """
    if isinstance(value, str):
        value = {tag: value}
    if not isinstance(value, Mapping):
        if isinstance(value, type) or not dataclasses.is_dataclass(value):
            raise ConfigError(f"{where}: expected a kind or a mapping of keys, got {value!r}")
        return value
    settings = dict(cast("Mapping[str, Any]", value))
    kind = settings.pop(tag, None)
    if not isinstance(kind, str):
        raise ConfigError(f"{where}.{tag}: missing; {nearest('', kinds(room))}")
    strategy = _load(room, kind, f"{where}.{tag}")
    if not (isinstance(strategy, type) and dataclasses.is_dataclass(strategy)):
        raise ConfigError(f"{where}.{tag}: {kind!r} is not a dataclass")
    known = {field.name.rstrip("_"): field.name for field in dataclasses.fields(strategy)}
    for key in settings:
        if key not in known:
            raise ConfigError(f"{where}.{key}: unknown key for {kind}; {nearest(str(key), known)}")
    try:
        return _adapter(strategy).validate_python({known[k]: v for k, v in settings.items()}, context={"base": base})
    except ValidationError as error:
        inner = error.errors()[0].get("ctx", {}).get("error")
        if isinstance(inner, ConfigError):
            raise ConfigError(str(inner)) from inner  # what pydantic says quotes all settings, and one may be a key
        raise ConfigError(f"{where}{reasons(error)}") from error


def describe(value: Any, *, tag: str = "kind") -> dict[str, Any]:
    """The mapping that `build` makes the strategy from again, as plain JSON values."""
    strategy = cast("type[Any]", type(value))
    module, name = strategy.__module__, strategy.__qualname__
    in_a_room = module.startswith("elad.") and not module.startswith("elad.methods.")
    kind = module.rpartition(".")[2] if in_a_room else f"{module}:{name}"
    fields: dict[str, Any] = _adapter(strategy).dump_python(value, mode="json")
    return {tag: kind} | {key.rstrip("_"): fields[key] for key in sorted(fields)}


@cache
def _adapter(strategy: type[Any]) -> TypeAdapter[Any]:
    # Half a millisecond each, and every question's key describes several strategies.
    return TypeAdapter(strategy)


def kinds(room: str) -> list[str]:
    """The names of the strategies in a room: its files that export exactly one frozen class."""
    package = importlib.import_module(room)
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return sorted(name for name in names if _exports(room, name))


def base_of(info: ValidationInfo) -> Path:
    """The folder that files named in a configuration are relative to; the working directory where none was given."""
    return cast("dict[str, Path]", info.context or {}).get("base", Path())


class _Found(str):
    """A path that was found from the folder of the configuration, and how it is written there."""

    written: str


def _found(value: str, info: ValidationInfo) -> str:
    if not value or not (base_of(info) / value).exists():
        return value
    found = _Found(base_of(info) / value)
    found.written = value
    return found


def _written(value: str) -> str:
    return value.written if isinstance(value, _Found) else value


Located = Annotated[str, AfterValidator(_found), PlainSerializer(_written)]
"""A path, or a name where there is no such file, as a field of a strategy's settings. It is found from `base` of
the validation's context and written down again as it was given, so that a run is the same wherever it is resumed."""


def reasons(error: ValidationError) -> str:
    """What pydantic found, as `.key: reason` parts; a strategy's own complaint in its own words."""
    return "; ".join(_reason(item) for item in error.errors())


def _reason(item: Mapping[str, Any]) -> str:
    where = "".join(f".{part}" for part in item["loc"])
    if item["type"] == "value_error":
        return f"{where}: {item['ctx']['error']}"
    return f"{where}: {item['msg']}, got {str(item['input'])[:80]!r}"


def _exports(room: str, name: str) -> bool:
    """Read from the file's text, so that listing imports nothing heavy."""
    spec = importlib.util.find_spec(f"{room}.{name}")
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return False
    with open(spec.origin, encoding="utf-8") as file:
        return "\n__all__ = [" in file.read()


def _load(room: str, kind: str, where: str) -> Any:
    if ":" in kind:
        module_name, _, name = kind.partition(":")
        try:
            return getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{where}: {kind!r} cannot be imported: {error}") from error
    if kind not in kinds(room):
        raise ConfigError(f"{where}: unknown kind {kind!r}; {nearest(kind, kinds(room))}")
    try:
        module = importlib.import_module(f"{room}.{kind}")
    except ModuleNotFoundError as error:
        raise ConfigError(f"{where}: {kind!r} needs the package {error.name!r}: {_REMEDY}") from error
    (name,) = module.__all__
    return getattr(module, name)
