from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from revision_kit import TASK, Cut, Script, candidate, queue, shown

from elad.outcomes import Purpose, ReplyOutcome, RevisionOutcome, Verdict
from elad.protocols import Prompt
from elad.records import Candidate, Request
from elad.report.rows import preference, stepwise
from elad.revision.first_error import FirstError
from elad.revision.judges.rollout import Rollout

RIGHT, WRONG, UNJUDGED = Verdict.RIGHT, Verdict.WRONG, Verdict.UNJUDGED


def chain_text(n: int, conclusion: str = "The answer is 99.") -> str:
    """`n` steps and a conclusion; step i says so, and no step's text is within another's."""
    return "\n".join([*(f"Step alpha{i}omega is done." for i in range(n)), conclusion])


def reaches_up_to(limit: int, ending: str = "Teacher goes on.\nThe answer is 10.") -> Script:
    """A teacher that reaches 10 from at most `limit` accepted steps."""
    return Script(lambda r: ending if len(r.steps) <= limit else "Hm.\nThe answer is 98.")


@given(st.integers(0, 11).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_it_finds_the_longest_prefix_in_few_calls_and_never_shows_the_wrong_step(case: tuple[int, int]) -> None:
    n, limit = case
    of, script = candidate(chain_text(n)), reaches_up_to(limit)
    revision = script.run(FirstError(), of)
    assert revision.outcome is RevisionOutcome.REPAIRED
    assert revision.first_error == limit
    assert revision.verdicts == (RIGHT,) * limit + (WRONG,) + (UNJUDGED,) * (n - limit)
    assert revision.after == f"{of.chain.prefix(limit)}Teacher goes on.\nThe answer is 10."
    assert (revision.edit, revision.answer) == ("Teacher goes on.", "10")
    assert len(script.asked) == revision.charge.calls <= ceil(log2(n + 1)) + 1
    finding = [r for r in script.requests if len(r.steps) == limit]
    assert len(finding) == 1
    assert of.chain.steps[limit].text.strip() not in shown(finding[0])
    assert all(r.purpose is Purpose.CONTINUE and "answer is 99" not in shown(r) for r in script.requests)


@given(st.integers(1, 9), st.data())
def test_same_answers_same_path(n: int, data: st.DataObject) -> None:
    of, limit = candidate(chain_text(n)), data.draw(st.integers(0, n))
    first, second = reaches_up_to(limit), reaches_up_to(limit)
    assert first.run(FirstError(), of) == second.run(FirstError(), of)
    assert [r.key for r in first.requests] == [r.key for r in second.requests]


def test_a_chain_at_the_target_is_accepted_without_a_call() -> None:
    text = chain_text(2, "The answer is 10.")
    revision = (script := reaches_up_to(0)).run(FirstError(), candidate(text))
    assert (revision.outcome, revision.after, revision.answer) == (RevisionOutcome.ACCEPTED, text, "10")
    assert script.asked == []
    assert revision.charge.calls == 0
    assert revision.verdicts == (UNJUDGED,) * 3  # nobody looked at the steps


def test_a_target_that_is_never_reached_is_unsure() -> None:
    revision = Script(lambda _: "The answer is 98.").run(FirstError(), candidate(chain_text(3)))
    assert (revision.outcome, revision.after, revision.answer) == (RevisionOutcome.UNSURE, None, None)
    assert revision.verdicts == (UNJUDGED,) * 4
    assert revision.charge.calls == 2


@pytest.mark.parametrize("said", [ReplyOutcome.EMPTY, ReplyOutcome.TRUNCATED, "苹果还剩十个 The answer is 10."])
def test_a_teacher_that_never_says_anything_usable_is_unreadable(said: str | ReplyOutcome) -> None:
    revision = Script(lambda _: said).run(FirstError(), candidate(chain_text(3)))
    assert revision.outcome is RevisionOutcome.UNREADABLE


def test_one_unusable_reply_counts_as_not_reached() -> None:
    script = Script(queue(ReplyOutcome.EMPTY, "The answer is 10."))
    revision = script.run(FirstError(), candidate(chain_text(3)))
    assert (revision.outcome, revision.first_error) == (RevisionOutcome.REPAIRED, 0)


def test_steps_that_the_teacher_writes_too_are_vouched_for() -> None:
    of = candidate("Three bags of 4 are 12.\nHe eats 2, so 14 are left.\nThe answer is 14.")
    script = Script(lambda r: "He has 9." if r.steps else "3 bags.\nThe answer is 10.")
    assert script.run(FirstError(), of).first_error == 0
    script = Script(queue("no", "three bags of 4 are 12\n12 - 2 = 10.\nThe answer is 10."))
    revision = script.run(FirstError(), of)
    assert (revision.first_error, revision.edit) == (1, "12 - 2 = 10.")
    assert revision.after == "Three bags of 4 are 12.\n12 - 2 = 10.\nThe answer is 10."


def test_a_wrong_conclusion_after_right_steps() -> None:
    of = candidate("3 x 4 = 12.\n12 - 2 = 10.\nThe answer is 11.")
    revision = Script(lambda _: "So the answer is 10").run(FirstError(), of)
    assert (revision.first_error, revision.edit) == (2, "The answer is 10.")
    assert revision.after == "3 x 4 = 12.\n12 - 2 = 10.\nThe answer is 10."


def test_where_only_the_conclusion_is_missing_no_step_is_wrong() -> None:
    of = candidate("3 x 4 = 12.\n12 - 2 = 10.")
    revision = Script(lambda _: "The answer is 10.").run(FirstError(), of)
    assert (revision.outcome, revision.first_error) == (RevisionOutcome.REPAIRED, None)
    assert revision.verdicts == (RIGHT, RIGHT)
    assert revision.edit == "The answer is 10."


@pytest.mark.parametrize("said", ["12 - 2 = 10.\nThe answer is 10.", "12 - 2 = 10\nThe answer is 10."])
@pytest.mark.parametrize("half", ["12 - ", "12 - 2 = 10"])
def test_a_step_that_was_cut_off_is_neither_kept_nor_called_wrong(half: str, said: str) -> None:
    of = candidate(f"3 x 4 = 12.\n{half}", finished=False)
    revision = Script(lambda _: said).run(FirstError(), of)
    assert (revision.outcome, revision.first_error, revision.verdicts) == (
        RevisionOutcome.REPAIRED,
        None,
        (RIGHT, UNJUDGED),
    )
    assert revision.after == f"3 x 4 = 12.\n{said}"
    assert preference(revision, of.problem, TASK) is None
    labelled = stepwise(revision, of.problem, TASK)
    assert labelled is not None
    assert (labelled["completions"], labelled["labels"]) == (["3 x 4 = 12."], [True])


def test_a_conclusion_that_cannot_be_read_is_written_anew_and_not_called_wrong() -> None:
    of = candidate("3 x 4 = 12.\nThe answer is ten.")
    revision = Script(lambda _: "12 - 2 = 10.\nThe answer is 10.").run(FirstError(), of)
    assert (revision.first_error, revision.verdicts) == (None, (RIGHT, UNJUDGED))
    assert revision.after == "3 x 4 = 12.\n12 - 2 = 10.\nThe answer is 10."


@pytest.mark.parametrize("text", ["", "The answer is 3."])
def test_no_step_and_one_step(text: str) -> None:
    script = reaches_up_to(0)
    revision = script.run(FirstError(), candidate(text))
    assert (revision.outcome, revision.first_error) == (RevisionOutcome.REPAIRED, 0)
    assert revision.after == "Teacher goes on.\nThe answer is 10."
    assert len(script.asked) == 1


def voting(*answers: str) -> Script:
    """A teacher whose solutions end in `answers`, by seed, and that reaches 10 from anywhere."""

    def say(request: Request) -> str:
        if request.purpose is Purpose.SOLVE:
            return f"The answer is {answers[request.seed]}."
        return "Teacher goes on.\nThe answer is 10."

    return Script(say)


def unknown(text: str) -> Candidate:
    return candidate(text, None)


def test_without_gold_the_majority_is_the_target_and_no_vote_is_bought_in_vain() -> None:
    script = voting("10", "10", "7")
    revision = script.run(FirstError(), unknown(chain_text(1)))
    votes = [r for r in script.requests if r.purpose is Purpose.SOLVE]
    assert [(r.seed, r.sampling.temperature) for r in votes] == [(0, 0.7), (1, 0.7)]
    assert (revision.outcome, revision.answer) == (RevisionOutcome.REPAIRED, "10")


def test_the_third_vote_decides() -> None:
    script = voting("7", "10", "10")
    revision = script.run(FirstError(), unknown("The answer is 10."))
    assert (revision.outcome, len(script.asked)) == (RevisionOutcome.ACCEPTED, 3)


def test_no_majority_is_unsure() -> None:
    revision = voting("7", "8", "10").run(FirstError(), unknown(chain_text(1)))
    assert (revision.outcome, revision.charge.calls) == (RevisionOutcome.UNSURE, 3)


def test_a_solution_that_was_cut_off_does_not_vote() -> None:
    script = Script(lambda _: Cut("60 x 2 = 120.\nThe answer is 12"))
    revision = script.run(FirstError(), unknown(chain_text(1)))
    assert (revision.outcome, revision.charge.calls) == (RevisionOutcome.UNSURE, 3)


def test_the_student_s_own_chain_does_not_vote() -> None:
    revision = voting("7", "8", "9").run(FirstError(), unknown("The answer is 7."))
    assert revision.outcome is RevisionOutcome.UNSURE


@pytest.mark.parametrize("gap", ["", "\n", " \n\n"])
def test_in_a_second_turn_the_bought_continuation_is_used_before_another_is_bought(gap: str) -> None:
    of = candidate("A bad start.\nThe answer is 5.")
    script = Script(lambda _: "3 x 4 = 12.\n12 - 2 = 10.\nThe answer is 10.")
    script.student = lambda prompt: f"{gap}The answer is 12." if prompt.seed == 0 else "The answer is 10."
    revision = script.run(FirstError(continue_="student"), of)
    prompts = [ask for ask in script.asked if isinstance(ask, Prompt)]
    begun = "A bad start.\n3 x 4 = 12.\n"
    assert [p.prefix for p in prompts] == [begun, f"{begun}{gap}12 - 2 = 10.\n"]
    assert (revision.outcome, revision.charge.calls) == (RevisionOutcome.REPAIRED, 2)
    assert revision.after == f"{begun}{gap}12 - 2 = 10.\nThe answer is 10."
    assert (revision.first_error, revision.edit) == (1, "3 x 4 = 12.")


def test_votes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="votes"):
        Rollout(votes=0)
    assert TASK.cue in chain_text(0)
