"""A question as a conversation: the prompt files in `prompts/`, filled in.

A prompt file holds the system message, a line `---`, and the user message. Both are
`string.Template`s that know one name, `$question`; any other dollar sign stands for itself.
"""

from functools import cache
from importlib.resources import files
from string import Template

from elad.records import Message, Problem

_RULE = "\n---\n"


def conversation(kind: str, question: str) -> tuple[Message, ...]:
    """The system and the user message that put a question to a student."""
    return tuple(
        Message(role=role, content=Template(part).safe_substitute(question=question))
        for role, part in zip(("system", "user"), _parts(kind), strict=True)
    )


def framed(problem: Problem) -> str:
    """The question, with its context before it."""
    question = problem.question.strip()
    return f"{problem.context.strip()}\n\n{question}" if problem.context else question


@cache
def _parts(kind: str) -> tuple[str, str]:
    text = files("elad.tasks").joinpath("prompts", f"{kind}.md").read_text(encoding="utf-8")
    system, _, user = text.partition(_RULE)
    return system.strip(), user.strip()
