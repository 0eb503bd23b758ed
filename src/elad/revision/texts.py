"""What a teacher's plain text must go through before a student may learn from it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from elad import steps
from elad.arithmetic import claims
from elad.protocols import Task
from elad.records import Chain, Problem
from elad.revision.languages import differ
from elad.tasks.chains import body

MOST_CHARACTERS = 4_000
_MOST_STEPS = 64
_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
_MARK = re.compile(
    r"^[ \t]*(?!\#{4}[ \t]*[-$]?\d[\d,./]*%?[ \t]*$)(?:\#{1,6}[ \t]|\[\d{1,2}\]|step[ \t]{1,4}\d{1,2}[ \t]{0,4}[:.)-]"
    r"|\d{1,2}[.)][ \t]|[-*•][ \t])[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)
"""List marks, headings and step numbers; `#### 90` is how GSM8K concludes, and no heading."""
_BOLD = re.compile(r"(?<=[\d)\]])(\*\*| \*\* )(?=[\d(\[])|\*\*")
"""Bold marks; a power is in the group."""
_CUE = re.compile(
    r"\A[^=\d]{0,80}?\banswer(?:[ \t](?:choice|option))?[*_ \t]{0,4}"
    r"(?:[:=]|(?:is|are|was|will be|would be|equals)\b)[\s:*_]{0,8}"
    r"|\A\#{2,6}\s{0,4}",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]{0,80}\}){0,200}+)\}")
_UNPRINTABLE = re.compile(r"[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f]")
_ORNAMENT = re.compile(r"[\s:;!*_$`'\"]|[.,](?!\d)")


def clean(text: str, question: str) -> str:
    """The text without fences, bold marks, list marks and step numbers; "" where it is unusable.

    Unusable is what holds no text or another language than the question. Steps lose their numbers
    because the student's own have none. At most `MOST_CHARACTERS` are kept.
    """
    kept = _BOLD.sub(r"\1", _UNPRINTABLE.sub(" ", text[:MOST_CHARACTERS]))
    lines = (line.strip() for line in _MARK.sub("", _FENCE.sub("", kept)).splitlines())
    plain = "\n".join(line for line in lines if line)
    return "" if foreign(plain, question) else plain


def foreign(text: str, question: str) -> bool:
    """Whether a text is in another script or language than the question, where that is plain.

    Another script: over a quarter of the letters, while the question's are not. Latin and Greek count as
    one, for names and mathematics. A conclusion in the asked-for words may stand in a text that is
    foreign otherwise, hence a quarter and not a half; of languages in one script it is left out.
    """
    if _foreign_script(question):
        return False
    pieces = steps.split(text, most=_MOST_STEPS)
    reasoning = "".join(piece.text for piece in pieces if not steps.is_conclusion(piece.text))
    return _foreign_script(text) or differ(reasoning, question)


def _foreign_script(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return 4 * sum(letter > "\u03ff" for letter in letters) > len(letters)


def same(first: str, second: str) -> bool:
    """Whether two steps say the same but for case, space, step numbers and punctuation."""
    return _plain(first) == _plain(second)


def _plain(text: str) -> str:
    return _ORNAMENT.sub("", _MARK.sub("", text).casefold())


def join(before: str, after: str) -> str:
    """Both texts, `before` untouched, the second on a line of its own."""
    return f"{before}\n{after}" if before and not before.endswith("\n") else before + after


def unrepeated(rest: tuple[str, ...], given: Sequence[str]) -> tuple[str, ...]:
    """The steps of `rest` without those at its start that repeat given ones; a conclusion is never dropped."""
    known = {_plain(step) for step in given if not steps.is_conclusion(step)}
    start = next((i for i, step in enumerate(rest) if _plain(step) not in known), len(rest))
    return rest[start:]


def parts(text: str) -> tuple[str, ...]:
    """The steps of a teacher's text, stripped."""
    return tuple(step.text.strip() for step in steps.split(text, most=_MOST_STEPS) if step.text.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A chain put together: its text and what it concludes, None where it does not."""

    text: str
    answer: str | None


def whole(problem: Problem, task: Task, before: str, rest: tuple[str, ...]) -> Whole:
    """The accepted text `before`, untouched, and the rest, with one conclusion in the task's own form.

    What follows the last conclusion is dropped, and so are conclusions before it; an equation that one
    of them works out is kept.
    """
    answer = task.parse(join(before, "\n".join(rest)), problem).answer
    if answer is None:
        return Whole(text=join(before, "\n".join(rest)), answer=None)
    last = max((i for i, step in enumerate(rest) if steps.is_conclusion(step)), default=len(rest))
    return _concluded(problem, task, before, rest[: last + 1], answer)


def closed(problem: Problem, task: Task, chain: Chain, answer: str) -> Whole:
    """A chain that concludes with `answer`, its conclusion in the task's own form.

    The steps before that conclusion are untouched. Where no step begins as a conclusion does, the last
    that names an answer is one, and what follows it is dropped.
    """
    place = body(chain)
    said = [step.text.strip() for step in chain.steps[place:] if steps.is_conclusion(step.text)]
    if not said:
        naming = (i for i, step in enumerate(chain.steps) if task.parse(step.text, problem).answer is not None)
        place = max(naming, default=len(chain.steps) - 1)
        said = [chain.steps[place].text.strip()]
    return _concluded(problem, task, chain.prefix(place), tuple(said), answer)


def _concluded(problem: Problem, task: Task, before: str, rest: tuple[str, ...], answer: str) -> Whole:
    """`before` and the rest, its conclusions replaced by one at the end."""
    kept = [working(step) if steps.is_conclusion(step) else step for step in rest]
    body = [step for step in kept if step]
    return Whole(text=join(before, "\n".join([*body, task.conclusion(problem, answer)])), answer=answer)


def working(conclusion: str) -> str:
    r"""What a concluding step works out, without cue and box; "" where it holds no equation.

    >>> working(r"So the answer is 52 + 38 = \boxed{90}.")
    '52 + 38 = 90.'
    """
    plain = _BOX.sub(r"\1", _CUE.sub("", _MARK.sub("", conclusion).lstrip())).strip()
    return plain if claims(plain) else ""
