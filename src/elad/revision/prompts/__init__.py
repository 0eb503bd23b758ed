"""The prompts that teachers read: plain files beside this one, known by a hash of their text.

`shared.md` is the system message of every request, byte for byte, so that an endpoint's prefix
cache serves it; `<name>.md` is the user message, a `string.Template`.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from elad.records import Message

_TAG = re.compile(r"<(?=/?(?:question|steps|step|solution)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """One prompt: its two messages before filling, and the hash that revisions carry."""

    system: str
    user: str
    version: str
    """First 8 hex digits of SHA-256 over system and user text."""

    def messages(self, **parts: str) -> tuple[Message, ...]:
        """The conversation to send, with `$name` filled from `parts`.

        What is filled in is data: it cannot close the tags that stand around it.

        Raises: KeyError when a part is missing.
        """
        safe = {name: _TAG.sub("< ", text) for name, text in parts.items()}
        user = Template(self.user).substitute(safe)
        return (Message(role="system", content=self.system), Message(role="user", content=user))


@cache
def load(name: str) -> PromptFile:
    """The prompt called `name`, read once."""
    folder = files(__name__)
    system = (folder / "shared.md").read_text(encoding="utf-8").strip()
    user = (folder / f"{name}.md").read_text(encoding="utf-8").strip()
    version = hashlib.sha256(f"{system}\n\n{user}".encode()).hexdigest()[:8]
    return PromptFile(system=system, user=user, version=version)
