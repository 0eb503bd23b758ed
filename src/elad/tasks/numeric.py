"""Answers that are one number: word problems and other arithmetic."""

from dataclasses import dataclass, replace
from fractions import Fraction

from elad.protocols import Parsed
from elad.records import Chain, Grade, Message, Problem
from elad.tasks import conclusions, prompting, quantities
from elad.tasks.grading import grade

__all__ = ["Numeric"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """Free answers that are numbers, compared as numbers.

    Range: two numbers are the same within 1e-4, absolute, whatever their size: a relative
    tolerance would forgive wrong digits of large numbers. Units, currency and percent signs are
    dropped ("20%" is 20). Canonical form: a plain decimal with up to six places.
    """

    @property
    def cue(self) -> str:
        return conclusions.CUE

    def messages(self, problem: Problem) -> tuple[Message, ...]:
        return prompting.conversation("numeric", self.question(problem))

    def question(self, problem: Problem) -> str:
        return prompting.framed(problem)

    def conclusion(self, problem: Problem, answer: str) -> str:
        """For example "The answer is 26."; an answer that is no number is repeated as it stands."""
        value = _value(answer)
        return f"{self.cue} {answer.strip() if value is None else quantities.plain(value)}."

    def options(self, problem: Problem) -> tuple[str, ...] | None:
        return None

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        return conclusions.settle(text, _read, finished=finished)

    def same(self, first: str | None, second: str | None, problem: Problem) -> bool:
        if first is None or second is None:
            return False
        a, b = _value(first), _value(second)
        return a is not None and b is not None and quantities.same(a, b)

    def grade(self, problem: Problem, chain: Chain) -> Grade:
        """As the protocol says; the lenient guess is the last number of the text.

        A sum that is left to do ("52 + 38") is right leniently only: what is asked for is a number.
        """
        found = grade(self, problem, chain, _guess)
        return replace(found, strict=found.strict and quantities.worked_out(conclusions.said(chain.text)))

    def wrong_answer(self, problem: Problem) -> str:
        """The gold answer and one more; "0" where the gold answer is no number."""
        value = _value(problem.answer or "")
        return "0" if value is None else quantities.plain(value + 1)


def _value(answer: str) -> Fraction | None:
    value = quantities.number(answer)
    return quantities.stated(answer)[0] if value is None else value


def _guess(text: str) -> str | None:
    last = quantities.last(text)
    return None if last is None else quantities.plain(last)


def _read(body: str, cut: bool) -> Parsed:
    value, outcome = quantities.stated(body, cut=cut)
    return Parsed(answer=None if value is None else quantities.plain(value), outcome=outcome)
