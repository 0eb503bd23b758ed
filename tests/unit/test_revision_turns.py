"""The student goes on from the repaired step, and the judge looks again."""

from dataclasses import replace

import pytest
from first_error_kit import CHAIN, MENDED, STEPS, by_purpose, stepwise_at
from revision_kit import Cut, Script, candidate, queue, whole

from elad.asks import Prompt
from elad.outcomes import RevisionOutcome
from elad.revision.first_error import FirstError


def test_the_student_goes_on_from_the_repaired_step_and_the_judge_looks_again() -> None:
    script = Script(queue(whole(1, "12 - 2 = 10."), whole(None)), student=lambda _: "so the answer is 10")
    revision = script.run(FirstError(judge="direct", repair="shown", continue_="student", turns=1), candidate(CHAIN))
    (prompt,) = [ask for ask in script.asked if isinstance(ask, Prompt)]
    assert prompt.prefix == f"{STEPS[0]}\n12 - 2 = 10.\n"
    assert prompt.messages[0].role == "user"
    assert (revision.outcome, revision.after) == (RevisionOutcome.REPAIRED, MENDED)
    assert revision.charge.calls == len(revision.requests) == 2


def test_a_wrong_step_on_the_way_to_the_gold_answer_is_not_let_pass() -> None:
    script = Script(queue(whole(0, "3 x 4 = 12."), whole(1, "12 - 2 = 10."), whole(None)))
    script.student = lambda prompt: "The answer is 10." if prompt.seed else "12 - 2 = 9.\nThe answer is 10."
    reviser = FirstError(judge="direct", repair="shown", continue_="student")
    revision = script.run(reviser, candidate("3 x 4 = 11.\nThe answer is 11."))
    assert (revision.outcome, revision.after) == (
        RevisionOutcome.REPAIRED,
        "3 x 4 = 12.\n12 - 2 = 10.\nThe answer is 10.",
    )
    script = Script(queue(whole(0, "3 x 4 = 12."), whole(1)), student=lambda _: "12 - 2 = 9.\nThe answer is 10.")
    revision = script.run(replace(reviser, turns=1), candidate("3 x 4 = 11.\nThe answer is 11."))
    assert (revision.outcome, revision.after) == (RevisionOutcome.TURNS, None)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_student_that_never_gets_there_is_out_of_turns(turns: int) -> None:
    script = by_purpose(judge=lambda r: whole(len(r.steps) - 1, "A new step."))
    script.student = lambda prompt: f"Nonsense {prompt.seed}.\nThe answer is 7."
    reviser = FirstError(judge="direct", repair="shown", continue_="student", turns=turns)
    revision = script.run(reviser, candidate(CHAIN))
    assert revision.outcome is RevisionOutcome.TURNS
    assert revision.after is None
    assert [a.seed for a in script.asked if isinstance(a, Prompt)] == list(range(turns))
    assert revision.charge.calls == turns
    assert revision.first_error == 2


@pytest.mark.parametrize(("last", "outcome"), [(None, RevisionOutcome.REPAIRED), (2, RevisionOutcome.TURNS)])
def test_without_gold_the_judge_looks_again(last: int | None, outcome: RevisionOutcome) -> None:
    script = Script(queue(whole(1, "12 - 2 = 10."), whole(last, "x")), student=lambda _: "The answer is 9.")
    reviser = FirstError(judge="direct", repair="shown", continue_="student", turns=1)
    revision = script.run(reviser, candidate(CHAIN, None))
    assert (revision.outcome, revision.charge.calls) == (outcome, 2)
    assert revision.first_error == 1


def test_accepted_in_a_later_turn_but_off_the_gold_answer() -> None:
    script = Script(queue(whole(1, "12 - 2 = 10."), whole(None)), student=lambda _: "The answer is 9.")
    revision = script.run(FirstError(judge="direct", repair="shown", continue_="student"), candidate(CHAIN))
    assert revision.outcome is RevisionOutcome.WRONG_END


def test_a_cut_off_conclusion_of_the_student_does_not_count() -> None:
    script = Script(queue(whole(1, "12 - 2 = 10."), whole(None), "The answer is 10."))
    script.student = lambda _: Cut("The answer is 1")
    reviser = FirstError(judge="direct", repair="shown", continue_="student")
    revision = script.run(reviser, candidate(CHAIN, None))
    assert (revision.outcome, revision.after) == (RevisionOutcome.REPAIRED, MENDED)


def test_stepwise_does_not_ask_again_about_what_it_accepted() -> None:
    script = by_purpose(judge_step=stepwise_at(1))
    script.student = lambda _: "The answer is 9."
    reviser = FirstError(judge="stepwise", repair="shown", continue_="student")
    script.run(reviser, candidate(CHAIN, None))
    assert [len(r.steps) for r in script.requests] == [1, 2, 3, 4]
