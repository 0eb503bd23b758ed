"""The prompts that teachers read: plain files beside this one, known by a hash of their text.

`shared.md` is the system message of every request, byte for byte, so that an endpoint's prefix
cache serves it. `<name>.md` holds the turns that follow, the user's first, with a line `---`
between two turns: instructions and an example first, the question at hand last, so that what
changes from one question to the next comes at the end.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from elad.records import Message

_RULE = "\n---\n"
_TAG = re.compile(r"<(?=/?(?:question|steps|step|solution)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """One prompt: its messages before filling, and the hash that revisions carry."""

    system: str
    turns: tuple[str, ...]
    """What user and assistant say in turn: `string.Template`s."""
    version: str
    """First 8 hex digits of SHA-256 over the text of both files."""

    def messages(self, **parts: str) -> tuple[Message, ...]:
        """The conversation to send, with `$name` filled from `parts`.

        What is filled in is data: it cannot close the tags that stand around it.

        Raises: KeyError when a part is missing.
        """
        safe = {name: _TAG.sub("< ", text) for name, text in parts.items()}
        spoken = tuple(
            Message(role=("user", "assistant")[i % 2], content=Template(turn).substitute(safe))
            for i, turn in enumerate(self.turns)
        )
        return (Message(role="system", content=self.system), *spoken)


@cache
def load(name: str) -> PromptFile:
    """The prompt called `name`, read once."""
    folder = files(__name__)
    system = (folder / "shared.md").read_text(encoding="utf-8").strip()
    text = (folder / f"{name}.md").read_text(encoding="utf-8").strip()
    version = hashlib.sha256(f"{system}{_RULE}{text}".encode()).hexdigest()[:8]
    return PromptFile(system=system, turns=tuple(text.split(_RULE)), version=version)
