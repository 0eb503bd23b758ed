"""Configurations as plain mappings: read from a file, overridden key by key, flattened."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from elad.errors import ConfigError


def read_mapping(path: Path) -> dict[str, Any]:
    """What a YAML file holds. Raises: ConfigError naming the file, where that is not keys with values."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping of keys at the top")
    return cast("dict[str, Any]", raw)


def overridden(raw: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of the mapping with each `key.key=value` put in; values are read as YAML."""
    out: dict[str, Any] = json.loads(json.dumps(raw, default=str))
    for item in overrides:
        dotted, equals, text = item.partition("=")
        if not equals or not dotted:
            raise ConfigError(f"--set {item}: expected key=value")
        at = out
        *path, last = dotted.split(".")
        for key in path:
            if at.get(key) is None:
                at[key] = {}
            inner: Any = at[key]
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {item}: {key!r} holds a plain value, not keys")
            at = cast("dict[str, Any]", inner)
        try:
            at[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {item}: the value is not YAML") from error
    return out


def flat(value: object, prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by dotted key; an empty mapping is a value."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    out: dict[str, Any] = {}
    for key, inner in cast("dict[str, Any]", value).items():
        out |= flat(inner, f"{prefix}.{key}" if prefix else key)
    return out
