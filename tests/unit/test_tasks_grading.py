import pytest

from elad.outcomes import ParseOutcome
from elad.records import Chain, Problem, Sampling
from elad.tasks.grading import grade
from elad.tasks.numeric import Numeric

PROBLEM = Problem(id="q", question="?", answer="7")


def _chain(text: str, answer: str | None, outcome: ParseOutcome) -> Chain:
    return Chain(
        problem_id="q", text=text, steps=(), answer=answer, outcome=outcome, sampling=Sampling(), seed=0, tokens=1
    )  # fmt: skip


@pytest.mark.parametrize("outcome", [o for o in ParseOutcome if o is not ParseOutcome.PARSED])
def test_only_silence_is_guessed_at(outcome: ParseOutcome) -> None:
    asked: list[str] = []

    def guess(text: str) -> str:
        asked.append(text)
        return "7"

    found = grade(Numeric(), PROBLEM, _chain("7", None, outcome), guess)
    silent = outcome in (ParseOutcome.NO_CONCLUSION, ParseOutcome.TRUNCATED)
    assert (found.strict, found.lenient, bool(asked)) == (False, silent, silent)


def test_the_chains_own_answer_counts_before_any_guess() -> None:
    found = grade(Numeric(), PROBLEM, _chain("The answer is 8.", "8", ParseOutcome.PARSED), lambda _: "7")
    assert not found.lenient
