"""The forms in which an experiment may give a price, read into one."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import BeforeValidator, TypeAdapter, ValidationError, ValidationInfo

from elad.errors import ConfigError, nearest
from elad.kinds import base_of, reasons
from elad.ledger.prices import Price

_WHERE = "teacher.price"
_NUMBERS = tuple(field.name for field in fields(Price))
_IN_A_TABLE = tuple(name for name in _NUMBERS if name not in ("source", "tiers"))
_ADAPTER = TypeAdapter(Price)


def price_of(value: object, *, base: Path = Path()) -> Price:
    """The price, whichever form it is given in.

    - a name, `model` or `provider:model`: today's price in the list that comes with `genai-prices`;
    - `{table: FILE, model: NAME}`: the row of a YAML file that maps names to prices; FILE is relative to `base`;
    - `{input: ..., output: ..., ...}`: the numbers themselves.

    Raises: ConfigError naming `teacher.price`, and the file and line where there is one.
    """
    if isinstance(value, Price):
        return value
    if isinstance(value, str):
        from elad.ledger.price_lists import listed

        return listed(value)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{_WHERE}: expected a model's name, numbers or a table, got {value!r}")
    given = {str(key): inner for key, inner in cast("Mapping[Any, Any]", value).items()}
    if "table" not in given:
        return _price(given, _WHERE, _NUMBERS)
    _refuse_unknown(given, _WHERE, ("table", "model"))
    for key in ("table", "model"):
        if not isinstance(given.get(key), str):
            raise ConfigError(f"{_WHERE}.{key}: expected text, got {given.get(key)!r}")
    return _of_table(base, given["table"], given["model"])


def _validated(value: object, info: ValidationInfo) -> Price:
    return price_of(value, base=base_of(info))


AnyPrice = Annotated[Price, BeforeValidator(_validated)]
"""A price as a field of a teacher's settings, in any form. Tables are found from `base` of the validation's context."""


def _of_table(base: Path, file: str, model: str) -> Price:
    rows = _rows(base / file)
    if model not in rows:
        raise ConfigError(f"{_WHERE}.model: {file} has no {model!r}; {nearest(model, rows)}")
    where = f"{_WHERE}: {file}: {model}"
    row = rows[model]
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected {{input: ..., output: ...}}, got {row!r}")
    numbers = {str(key): inner for key, inner in cast("dict[Any, Any]", row).items()}
    return _price(numbers, where, _IN_A_TABLE, source=f"{file} {model}")


def _rows(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{_WHERE}.table: {path}{line}: not YAML: {error.problem}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{_WHERE}.table: {path}: cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{_WHERE}.table: {path}: expected a mapping of models to their prices")
    return {str(key): row for key, row in cast("dict[Any, Any]", raw).items()}


def _price(numbers: Mapping[str, Any], where: str, known: tuple[str, ...], **also: str) -> Price:
    _refuse_unknown(numbers, where, known)
    try:
        return _ADAPTER.validate_python({**numbers, **also})
    except ValidationError as error:
        raise ConfigError(f"{where}{reasons(error)}") from error


def _refuse_unknown(given: Mapping[str, Any], where: str, known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}.{key}: unknown key; {nearest(key, known)}")
