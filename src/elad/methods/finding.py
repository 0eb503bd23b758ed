"""Experiments by name: a YAML file, a method's file, or `module:function`."""

import ast
import importlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path

from elad.errors import ConfigError, nearest
from elad.experiment import Experiment

HERE = Path(__file__).parent
_HEAD = re.compile(r"[A-Z][\w ]*(?: \[\w\])?:")
"""What a part of a card begins with."""


def find(name: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment that the words on the command line mean, with overrides put in.

    Raises: ConfigError that says what was tried.
    """
    if name.endswith((".yaml", ".yml")) or Path(name).is_file():
        return Experiment.load(name, overrides)
    module_name, colon, function = name.partition(":")
    known = [card["name"] for card in cards()]
    if not colon and name not in known:
        raise ConfigError(f"{name}: no such file, and no method of that name; {nearest(name, known)}")
    try:
        module = importlib.import_module(module_name if colon else f"elad.methods.{name}")
        made = getattr(module, function or "experiment")()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{name}: cannot be imported: {error}") from error
    if not isinstance(made, Experiment):
        raise ConfigError(f"{name}: gave {type(made).__name__}, expected an Experiment")
    return made.but(overrides)


def cards() -> list[dict[str, str]]:
    """Name, first line and evidence of each method, read from the files without importing them."""
    found: list[dict[str, str]] = []
    for path in sorted(HERE.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "experiment" in functions:
            card = inspect.cleandoc(ast.get_docstring(tree) or "")
            found.append({"name": path.stem, "paper": card.splitlines()[0], "evidence": _part(card, "Evidence:")})
    return found


def _part(card: str, head: str) -> str:
    """The part of a card that starts with `head`, up to an empty line or the next part, its lines joined."""
    lines: list[str] = []
    for line in card.splitlines():
        if line.startswith(head):
            lines.append(line.removeprefix(head).strip())
        elif lines and (not line.strip() or _HEAD.match(line)):
            break
        elif lines:
            lines.append(line.strip())
    return " ".join(lines)
