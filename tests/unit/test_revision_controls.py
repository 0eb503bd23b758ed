import pytest
from revision_kit import Cut, Script, candidate, shown

from elad.outcomes import Purpose, ReplyOutcome, RevisionOutcome, Verdict
from elad.revision.answer_only import AnswerOnly
from elad.revision.rewrite import Rewrite

CHAIN = "3 x 4 = 13.\nThe answer is 13."


def test_rewrite_is_the_teacher_s_own_solution() -> None:
    script = Script(lambda _: "1. 3 x 4 = 12.\n2. 12 - 2 = 10.\nSo the answer is 10")
    revision = script.run(Rewrite(), candidate(CHAIN))
    assert (revision.outcome, revision.answer) == (RevisionOutcome.REWRITTEN, "10")
    assert revision.after == "3 x 4 = 12.\n12 - 2 = 10.\nThe answer is 10."
    assert revision.verdicts == (Verdict.UNJUDGED,) * 2
    assert revision.first_error is None
    assert (revision.reviser, revision.charge.calls) == ("rewrite", 1)
    assert [r.purpose for r in script.requests] == [Purpose.SOLVE]
    assert "3 x 4 = 13" not in shown(script.requests[0])


@pytest.mark.parametrize("said", ["The answer is 10.", "10"])
def test_answer_only_is_the_conclusion_alone(said: str) -> None:
    script = Script(lambda _: said)
    revision = script.run(AnswerOnly(), candidate(CHAIN))
    assert (revision.outcome, revision.after) == (RevisionOutcome.REWRITTEN, "The answer is 10.")
    assert [(r.purpose, r.sampling.max_tokens) for r in script.requests] == [(Purpose.ANSWER, 48)]
    assert revision.reviser == "answer_only"


@pytest.mark.parametrize("reviser", [Rewrite(), AnswerOnly()])
@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("The answer is 11.", RevisionOutcome.WRONG_END),
        ("Ten or so.", RevisionOutcome.WRONG_END),
        (ReplyOutcome.EMPTY, RevisionOutcome.UNREADABLE),
        (Cut("The answer is 10"), RevisionOutcome.UNREADABLE),
        (ReplyOutcome.FAILED, RevisionOutcome.FAILED),
        (ReplyOutcome.BUDGET, RevisionOutcome.BUDGET),
    ],
)
def test_what_goes_wrong_has_a_name(
    reviser: Rewrite | AnswerOnly, said: str | ReplyOutcome, outcome: RevisionOutcome
) -> None:
    revision = Script(lambda _: said).run(reviser, candidate(CHAIN))
    assert (revision.outcome, revision.after, revision.edit) == (outcome, None, None)


def test_a_conclusion_that_was_cut_off_does_not_count() -> None:
    revision = Script(lambda _: Cut("60 x 2 = 120.\nThe answer is 12")).run(Rewrite(), candidate(CHAIN, None))
    assert (revision.outcome, revision.after) == (RevisionOutcome.WRONG_END, None)


@pytest.mark.parametrize("reviser", [Rewrite(), AnswerOnly()])
def test_what_was_cut_off_behind_the_conclusion_does_no_harm(reviser: Rewrite | AnswerOnly) -> None:
    revision = Script(lambda _: Cut("The answer is 10.\nNow supp")).run(reviser, candidate(CHAIN))
    assert (revision.outcome, revision.after) == (RevisionOutcome.REWRITTEN, "The answer is 10.")


@pytest.mark.parametrize("reviser", [Rewrite(), AnswerOnly()])
def test_without_gold_any_conclusion_will_do(reviser: Rewrite | AnswerOnly) -> None:
    revision = Script(lambda _: "The answer is 11.").run(reviser, candidate(CHAIN, None))
    assert (revision.outcome, revision.answer) == (RevisionOutcome.REWRITTEN, "11")
    assert len(reviser.needs) == 1
