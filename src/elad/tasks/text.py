"""Answers that are a few words or letters, compared as text."""

import re
import string
from dataclasses import dataclass

from elad.outcomes import ParseOutcome
from elad.protocols import Parsed
from elad.records import Chain, Grade, Message, Problem
from elad.tasks import conclusions, prompting
from elad.tasks.grading import grade

__all__ = ["Text"]

_MOST_WORDS = 20
_QUOTED = re.compile(r"[\"“”]([^\"“”\n]{1,200})[\"“”]")
_LATEX = re.compile(r"\\(?:text|mathrm|boxed)\{([^{}]{0,200})\}")
_MARKS = re.compile(r"\*\*|__|[`\"“”]")
_ARTICLE = re.compile(r"^(?:the|an?) (?=\w)")
_EDGES = string.punctuation + string.whitespace + "“”‘’«»…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Short free answers, equal when their normalised texts are.

    Normalised: case folded, white space collapsed, markdown and double quotes dropped, and so are
    punctuation around it and an article before it; the normalised text is the canonical form. More than twenty words
    after the cue are no short answer.
    """

    @property
    def cue(self) -> str:
        return conclusions.CUE

    def messages(self, problem: Problem) -> tuple[Message, ...]:
        return prompting.conversation("text", self.question(problem))

    def question(self, problem: Problem) -> str:
        return prompting.framed(problem)

    def conclusion(self, problem: Problem, answer: str) -> str:
        """For example "The answer is yajc."; quoted where a full stop within would cut it short."""
        said = " ".join(_MARKS.sub("", answer).split())
        inner = f"{said}."
        return f'{self.cue} "{said}".' if conclusions.sentence_end(inner) < len(said) else f"{self.cue} {inner}"

    def options(self, problem: Problem) -> tuple[str, ...] | None:
        return None

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        return conclusions.settle(text, _read, finished=finished)

    def same(self, first: str | None, second: str | None, problem: Problem) -> bool:
        return first is not None and second is not None and normalise(first) == normalise(second)

    def grade(self, problem: Problem, chain: Chain) -> Grade:
        """As the protocol says; the lenient guess is the last quoted text, else the last word."""
        return grade(self, problem, chain, _guess)

    def wrong_answer(self, problem: Problem) -> str:
        """The gold answer backwards; with an "x" after it where that reads the same."""
        gold = normalise(problem.answer or "")
        return gold[::-1] if normalise(gold[::-1]) != gold else f"{gold}x"


def normalise(text: str) -> str:
    """The canonical form of an answer; a text of nothing but punctuation keeps it.

    >>> normalise('  The "Eiffel  Tower". ')
    'eiffel tower'
    """
    folded = " ".join(_MARKS.sub("", _LATEX.sub(r"\1", text)).casefold().split())
    bare = folded.strip(_EDGES)
    return _ARTICLE.sub("", bare) if bare else folded


def _guess(text: str) -> str | None:
    tail = text[-conclusions.MOST_CHARS :]
    named = _QUOTED.findall(tail) or tail.split()
    return normalise(named[-1]) if named else None


def _read(body: str, cut: bool) -> Parsed:
    quoted = {normalise(part) for part in _QUOTED.findall(body)}
    if len(quoted) > 1:
        return Parsed(answer=None, outcome=ParseOutcome.AMBIGUOUS)
    if quoted:
        return Parsed(answer=quoted.pop(), outcome=ParseOutcome.PARSED)
    end = conclusions.sentence_end(body)
    if cut and end == len(body):
        return Parsed(answer=None, outcome=ParseOutcome.TRUNCATED)
    answer = normalise(body[:end])
    if not answer or len(answer.split()) > _MOST_WORDS:
        return Parsed(answer=None, outcome=ParseOutcome.NO_CONCLUSION)
    return Parsed(answer=answer, outcome=ParseOutcome.PARSED)
