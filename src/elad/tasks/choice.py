"""Answers that are one of the options offered: letters, yes or no, labels."""

from dataclasses import dataclass
from typing import Literal

from elad.errors import DataError
from elad.protocols import Parsed
from elad.records import Chain, Grade, Message, Problem
from elad.tasks import conclusions, prompting
from elad.tasks.grading import grade
from elad.tasks.offered import LETTERS, Offered

__all__ = ["Choice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of at most 26 options, put as "(A) yes" and concluded in those words.

    "The answer is (A) yes." repeats the option's line in the prompt, which a small model copies most
    easily. After the cue come " (" and the letter, two tokens in byte-level vocabularies, of which
    the second differs from option to option. Canonical form: the option's text. Options that differ
    only in case, spacing or closing punctuation are the same answer.
    """

    weigh: Literal["letters", "texts"] = "letters"
    """What of an option a student's belief in it is read from: its letter, or its text, where letters mean little to
    a student; of texts of different lengths see `uncertainty.per_token` too."""

    @property
    def cue(self) -> str:
        return conclusions.CUE

    def messages(self, problem: Problem) -> tuple[Message, ...]:
        return prompting.conversation("choice", self.question(problem))

    def question(self, problem: Problem) -> str:
        lines = [f"({letter}) {' '.join(text.split())}" for letter, text in _lettered(problem)]
        return "\n".join([prompting.framed(problem), *lines])

    def conclusion(self, problem: Problem, answer: str) -> str:
        """For example "The answer is (C) wooded area." Raises: ValueError for what is no option."""
        index = _offered(problem).index(answer)
        if index is None:
            raise ValueError(f"problem {problem.id!r}: {answer!r} is not one of its options")
        text = " ".join(_choices(problem)[index].split())
        return f"{self.cue} ({LETTERS[index]}) {_ended(text)}"

    def options(self, problem: Problem) -> tuple[str, ...] | None:
        """The texts " (A", " (B", ...: what follows the cue up to where they part; or their texts, ended."""
        if self.weigh == "texts":
            return tuple(f" {_ended(' '.join(text.split()))}" for text in _choices(problem))
        return tuple(f" ({letter}" for letter, _ in _lettered(problem))

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        offered, choices = _offered(problem), _choices(problem)

        def read(body: str, cut: bool) -> Parsed:
            index, outcome = offered.read(body, cut=cut)
            return Parsed(answer=None if index is None else choices[index], outcome=outcome)

        return conclusions.settle(text, read, finished=finished)

    def same(self, first: str | None, second: str | None, problem: Problem) -> bool:
        if first is None or second is None:
            return False
        index = _offered(problem).index(first)
        return index is not None and index == _offered(problem).index(second)

    def grade(self, problem: Problem, chain: Chain) -> Grade:
        """As the protocol says; the lenient guess is the single option that is named last."""

        def guess(text: str) -> str | None:
            index = _offered(problem).named_last(text[-conclusions.MOST_CHARS :])
            return None if index is None else _choices(problem)[index]

        return grade(self, problem, chain, guess)

    def wrong_answer(self, problem: Problem) -> str:
        """The option after the gold one, the first after the last. Raises: ValueError without one."""
        choices = _choices(problem)
        gold = choices.index(problem.answer) if problem.answer in choices else -1
        for other in [*choices[gold + 1 :], *choices[: gold + 1]]:
            if not self.same(other, problem.answer, problem):
                return other
        raise ValueError(f"problem {problem.id!r} has no option but the gold one")


def _choices(problem: Problem) -> tuple[str, ...]:
    choices = problem.choices or ()
    if not 2 <= len(choices) <= len(LETTERS):
        raise DataError(f"problem {problem.id!r}: a choice task needs 2 to {len(LETTERS)} choices")
    return choices


def _ended(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _lettered(problem: Problem) -> list[tuple[str, str]]:
    return list(zip(LETTERS, _choices(problem), strict=False))


def _offered(problem: Problem) -> Offered:
    return Offered.of(_choices(problem))
