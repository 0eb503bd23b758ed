from dataclasses import replace

import pytest
from first_error_kit import (
    CHAIN,
    MENDED,
    REST,
    RIGHT,
    STEPS,
    UNJUDGED,
    WRONG,
    Said,
    by_purpose,
    purposes,
    set_to,
    stepwise_at,
)
from hypothesis import given
from hypothesis import strategies as st
from revision_kit import Cut, Script, candidate, one, queue, shown, whole

from elad.outcomes import Purpose, ReplyOutcome, RevisionOutcome
from elad.records import Candidate, Sampling, from_json, to_json
from elad.records import Revision as RevisionRecord
from elad.revision import prompts
from elad.revision.first_error import FirstError
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

JUDGES = {
    "direct": {"judge": whole(1, "12 - 2 = 10.")},
    "compare": {"solve": "A.\nThe answer is 10.", "compare": whole(1, "12 - 2 = 10.")},
    "stepwise": {"judge_step": stepwise_at(1)},
}


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("repair", ["blind", "shown"])
def test_judge_and_repair_give_one_record(judge: str, repair: str) -> None:
    script = by_purpose(**JUDGES[judge], **{"continue": lambda r: REST if len(r.steps) == 1 else "The answer is 10."})
    revision = script.run(set_to(judge=judge, repair=repair), candidate(CHAIN))
    assert revision.outcome is RevisionOutcome.REPAIRED
    assert (revision.after, revision.answer, revision.before) == (MENDED, "10", CHAIN)
    assert revision.verdicts == (RIGHT, WRONG, UNJUDGED)
    assert (revision.first_error, revision.edit, revision.reason) == (1, "12 - 2 = 10.", "because")
    assert revision.reviser == f"first_error({judge},{repair},teacher)"
    assert revision.requests == tuple(r.key for r in script.requests)
    assert revision.charge.calls == len(script.asked)
    assert revision.charge.money == len(script.asked) / 2
    assert set(revision.prompt_versions) == {r.prompt_version for r in script.requests}
    assert from_json(RevisionRecord, to_json(revision)) == revision


def test_the_prompts_say_what_the_purposes_promise() -> None:
    script = by_purpose(judge=whole(1), repair="12 - 2 = 10.", **{"continue": "The answer is 10."})
    script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    judge, repair, go_on = script.requests
    assert purposes(script) == [Purpose.JUDGE, Purpose.REPAIR, Purpose.CONTINUE]
    assert judge.steps == STEPS
    assert f"[1] {STEPS[1]}" in judge.messages[-1].content
    assert judge.schema
    assert repair.steps == STEPS[:2]
    assert f"<step>\n{STEPS[1]}\n" in repair.messages[-1].content
    assert go_on.steps == (STEPS[0], "12 - 2 = 10.")
    assert go_on.schema is None
    assert all(r.sampling.temperature == 0 and r.sampling.max_tokens == 256 for r in script.requests)
    assert judge.prompt_version == prompts.load("judge").version


def test_compare_solves_unseen_and_shows_the_solution() -> None:
    script = by_purpose(solve="Own way.\nThe answer is 10.", compare=whole(None))
    script.run(FirstError(judge="compare"), candidate(CHAIN))
    solve, compare = script.requests
    assert not any(step in shown(solve) for step in STEPS)
    assert "<solution>\nOwn way." in compare.messages[-1].content
    assert compare.steps == STEPS


def test_compare_needs_a_solution() -> None:
    script = by_purpose(solve=ReplyOutcome.EMPTY)
    revision = script.run(FirstError(judge="compare"), candidate(CHAIN))
    assert (revision.outcome, len(script.asked)) == (RevisionOutcome.UNREADABLE, 1)


def ungraded(chain: str) -> Candidate:
    given = candidate(chain)
    return replace(given, problem=replace(given.problem, answer=None))


def test_compare_without_a_gold_answer_goes_by_the_teachers_own() -> None:
    script = by_purpose(solve="Own way.\nThe answer is 10.", compare=whole(None))
    revision = script.run(FirstError(judge="compare"), ungraded(CHAIN))
    assert (revision.outcome, revision.after) == (RevisionOutcome.UNSURE, None)
    agreed = by_purpose(solve="Own way.\nThe answer is 14.", compare=whole(None))
    assert agreed.run(FirstError(judge="compare"), ungraded(CHAIN)).outcome is RevisionOutcome.ACCEPTED


def test_compare_without_a_gold_answer_takes_no_repair_that_ends_elsewhere() -> None:
    given = {"solve": "Own way.\nThe answer is 14.", "compare": whole(1, "12 - 2 = 10."), "continue": REST}
    script = by_purpose(**given)
    assert script.run(FirstError(judge="compare"), ungraded(CHAIN)).outcome is RevisionOutcome.WRONG_END


def test_stepwise_accepts_a_chain_whose_steps_are_all_right() -> None:
    revision = by_purpose(judge_step=one(True)).run(FirstError(judge="stepwise"), candidate(MENDED))
    assert (revision.outcome, revision.verdicts) == (RevisionOutcome.ACCEPTED, (RIGHT,) * 3)


def test_stepwise_stops_at_the_first_wrong_step() -> None:
    script = by_purpose(judge_step=stepwise_at(1), **{"continue": REST})
    script.run(FirstError(judge="stepwise"), candidate(CHAIN))
    assert [r.steps for r in script.requests] == [STEPS[:1], STEPS[:2], STEPS[:1]]


@given(st.integers(0, 5), st.sampled_from(["direct", "stepwise", "compare"]))
def test_blind_never_shows_the_wrong_step_and_keeps_the_prefix(index: int, judge: str) -> None:
    text = "\n".join([*(f"Step alpha{i}omega is done." for i in range(5)), "The answer is 99."])
    of = candidate(text)
    script = by_purpose(
        judge=whole(index), compare=whole(index), solve="The answer is 10.", judge_step=stepwise_at(index),
        **{"continue": REST},
    )  # fmt: skip
    revision = script.run(set_to(judge=judge), of)
    blind = [r for r in script.requests if r.purpose is Purpose.CONTINUE]
    assert len(blind) == 1
    assert of.chain.steps[index].text.strip() not in shown(blind[0])
    assert revision.after is not None
    assert revision.after.startswith(of.chain.prefix(index))
    assert revision.first_error == index


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (whole(3), RevisionOutcome.BAD_INDEX),
        (whole(-1), RevisionOutcome.BAD_INDEX),
        ("no JSON", RevisionOutcome.UNREADABLE),
        (whole(1, "苹果还剩十个"), RevisionOutcome.UNREADABLE),
        (ReplyOutcome.EMPTY, RevisionOutcome.UNREADABLE),
        (ReplyOutcome.TRUNCATED, RevisionOutcome.UNREADABLE),
        (ReplyOutcome.FAILED, RevisionOutcome.FAILED),
        (ReplyOutcome.REFUSED, RevisionOutcome.FAILED),
        (ReplyOutcome.BUDGET, RevisionOutcome.BUDGET),
        (whole(None), RevisionOutcome.WRONG_END),
        (whole(1, "he eats 2, so 12 + 2 = 14"), RevisionOutcome.COPIED),
    ],
)
def test_what_a_judge_may_do_wrong(reply: Said, outcome: RevisionOutcome) -> None:
    script = by_purpose(judge=reply)
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert revision.outcome is outcome
    assert not outcome.trainable
    assert (revision.after, revision.answer) == (None, None)
    assert revision.reason
    assert revision.charge.calls == len(revision.requests) == (2 if outcome is RevisionOutcome.UNREADABLE else 1)


@pytest.mark.parametrize(
    ("rest", "outcome"),
    [
        ("12 - 2 = 11.\nThe answer is 11.", RevisionOutcome.WRONG_END),
        ("12 - 2 = 10.\nThat is all.", RevisionOutcome.WRONG_END),
        (ReplyOutcome.EMPTY, RevisionOutcome.UNREADABLE),
        ("苹果还剩十个", RevisionOutcome.UNREADABLE),
        (STEPS[1].upper() + "\nThe answer is 10.", RevisionOutcome.COPIED),
        (ReplyOutcome.FAILED, RevisionOutcome.FAILED),
        (ReplyOutcome.BUDGET, RevisionOutcome.BUDGET),
    ],
)
def test_what_a_repair_may_do_wrong(rest: Said, outcome: RevisionOutcome) -> None:
    script = by_purpose(judge=whole(1), **{"continue": rest})
    revision = script.run(FirstError(judge="direct"), candidate(CHAIN))
    assert revision.outcome is outcome
    assert revision.after is None
    assert (revision.first_error, revision.verdicts) == (1, (RIGHT, WRONG, UNJUDGED))


def test_an_unreadable_reply_is_shown_back_once() -> None:
    script = Script(queue("Well, step 1.", whole(1), REST))
    revision = script.run(FirstError(judge="direct"), candidate(CHAIN))
    first, again = script.requests[:2]
    assert revision.outcome is RevisionOutcome.REPAIRED
    assert again.messages[: len(first.messages)] == first.messages
    assert [m.role for m in again.messages[-2:]] == ["assistant", "user"]
    assert again.messages[-2].content == "Well, step 1."
    assert '"first_error"' in again.messages[-1].content
    assert (again.purpose, again.steps, again.schema) == (first.purpose, first.steps, first.schema)
    assert again.key != first.key


def test_a_corrected_step_that_is_missing_is_asked_for_and_must_be_readable() -> None:
    script = by_purpose(judge=whole(1), repair=ReplyOutcome.EMPTY)
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert revision.outcome is RevisionOutcome.UNREADABLE
    assert purposes(script) == [Purpose.JUDGE, Purpose.REPAIR]


def test_a_copied_answer_to_repair_is_copied_and_not_unreadable() -> None:
    script = by_purpose(judge=whole(1), repair=STEPS[1])
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert revision.outcome is RevisionOutcome.COPIED


def test_a_copied_step_with_more_behind_it_is_copied_too() -> None:
    script = by_purpose(judge=whole(1), repair=f"{STEPS[1]}\n14 - 4 = 10.")
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert (revision.outcome, revision.after) == (RevisionOutcome.COPIED, None)


def test_a_copied_step_of_several_sentences_is_copied() -> None:
    text = " ".join(f"Step alpha{i}omega is done." for i in range(20))
    of = candidate(f"{text} The answer is 14.", most=4)
    script = by_purpose(judge=whole(2), repair=of.chain.steps[2].text)
    assert script.run(FirstError(judge="direct", repair="shown"), of).outcome is RevisionOutcome.COPIED


def test_a_repair_of_several_steps_is_one_edit_and_the_way_on() -> None:
    script = by_purpose(judge=whole(1), repair=REST)
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert (revision.after, revision.edit) == (MENDED, "12 - 2 = 10.")
    assert purposes(script) == [Purpose.JUDGE, Purpose.REPAIR]


def test_a_way_on_that_does_not_conclude_is_bought_to_its_end() -> None:
    script = by_purpose(judge=whole(1), repair="12 - 2 = 10.\nSo 10.", **{"continue": "The answer is 10."})
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert revision.after == f"{STEPS[0]}\n12 - 2 = 10.\nSo 10.\nThe answer is 10."
    assert script.requests[-1].steps == (STEPS[0], "12 - 2 = 10.", "So 10.")


def test_a_way_on_that_was_not_seen_to_reach_the_target_is_not_taken_to() -> None:
    script = by_purpose(
        repair="Odd step.\nThen 7.",
        **{"continue": lambda r: "7." if "Odd step." in r.steps else "Other way.\nThe answer is 10."},
    )
    script.student = lambda _: "The answer is 7."
    of = candidate("3 x 4 = 12.\nThe answer is 14.")
    script.run(FirstError(repair="shown", continue_="student"), of)
    assert ("3 x 4 = 12.", "Odd step.") in [r.steps for r in script.requests if r.purpose is Purpose.CONTINUE]


def test_a_repair_that_was_cut_off_is_unreadable() -> None:
    script = by_purpose(judge=whole(1), repair=Cut("She has 24 - 15 = 9 rolls le"))
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert (revision.outcome, revision.after) == (RevisionOutcome.UNREADABLE, None)


def test_of_a_way_on_that_was_cut_off_the_last_step_is_bought_again() -> None:
    script = Script(queue(whole(1), Cut("12 - 2 = 10.\nThe answer is 1"), "The answer is 10."))
    revision = script.run(FirstError(judge="direct"), candidate(CHAIN, None))
    assert (revision.outcome, revision.after) == (RevisionOutcome.REPAIRED, MENDED)


def test_a_corrected_conclusion_needs_no_more_calls() -> None:
    script = by_purpose(judge=whole(1, "So the answer is 10"))
    revision = script.run(FirstError(judge="direct", repair="shown"), candidate(CHAIN))
    assert revision.after == f"{STEPS[0]}\nThe answer is 10."
    assert revision.edit == "The answer is 10."
    assert len(script.asked) == 1


STEPS_AS_WRITTEN = " 3 x 4 = 12\n\n12 - 2 = 10. \n"


@pytest.mark.parametrize(
    ("end", "after"),
    [
        ("The answer is 10.", "The answer is 10."),
        ("So the answer is 10! ", "The answer is 10."),
        ("#### 10", "The answer is 10."),
        ("The answer is 10.\n\nNow suppose that Randy gives some blo", "The answer is 10."),
        ("The answer is 8 + 2 = 10.", "8 + 2 = 10.\nThe answer is 10."),
        ("In all my answer is 10.\nNow", "In all my answer is 10.\nThe answer is 10."),
        ("Hence, the answer is 10.\nWell, that was it.\nI hope it helps", "The answer is 10."),
    ],
)
def test_an_accepted_chain_keeps_its_steps_and_ends_with_the_conclusion(end: str, after: str) -> None:
    of = candidate(STEPS_AS_WRITTEN + end)
    revision = by_purpose(judge=whole(None)).run(FirstError(judge="direct"), of)
    assert (revision.outcome, revision.after) == (RevisionOutcome.ACCEPTED, STEPS_AS_WRITTEN + after)
    assert (revision.before, revision.answer) == (of.chain.text, "10")
    assert (revision.first_error, revision.edit) == (None, None)
    assert set(revision.verdicts) == {RIGHT}


def test_an_accepted_conclusion_gets_a_line_of_its_own() -> None:
    of = candidate("3 x 4 - 2 = 10, so the answer is 10.")
    revision = by_purpose(judge=whole(None)).run(FirstError(judge="direct"), of)
    assert revision.after == "3 x 4 - 2 = 10, \nThe answer is 10."


MISSING = {
    "direct": {"judge": whole(None)},
    "compare": {"solve": "A.\nThe answer is 10.", "compare": whole(None)},
    "stepwise": {"judge_step": one(True)},
}


@pytest.mark.parametrize("judge", MISSING)
@pytest.mark.parametrize("repair", ["blind", "shown"])
@pytest.mark.parametrize("gold", ["10", None])
def test_of_a_chain_that_is_right_the_missing_conclusion_alone_is_bought(
    judge: str, repair: str, gold: str | None
) -> None:
    of = candidate("3 x 4 = 12.\n12 - 2 = 10.", gold)
    script = by_purpose(**MISSING[judge], **{"continue": "The answer is 10."})
    revision = script.run(set_to(judge=judge, repair=repair), of)
    assert (revision.outcome, revision.after) == (RevisionOutcome.REPAIRED, f"{of.chain.text}\nThe answer is 10.")
    assert (revision.first_error, revision.verdicts) == (None, (RIGHT, RIGHT))
    assert script.requests[-1].steps == ("3 x 4 = 12.", "12 - 2 = 10.")


@pytest.mark.parametrize("judge", MISSING)
def test_half_a_step_is_written_anew_whatever_the_judge_says_of_it(judge: str) -> None:
    of = candidate("3 x 4 = 12.\n12 - ", finished=False)
    for said in (MISSING, {"direct": {"judge": whole(1)}, **{key: MISSING[key] for key in ("compare", "stepwise")}}):
        revision = by_purpose(**said[judge], **{"continue": REST}).run(set_to(judge=judge), of)
        assert (revision.outcome, revision.after) == (RevisionOutcome.REPAIRED, f"3 x 4 = 12.\n{REST}")
        assert (revision.first_error, revision.verdicts) == (None, (RIGHT, UNJUDGED))


def test_a_refusal_that_passes_is_not_concluded() -> None:
    chain = make_chain(
        "I'm sorry, I cannot answer.", candidate("").problem, Numeric(),
        finished=True, sampling=Sampling(), seed=0, tokens=1, most_steps=12,
    )  # fmt: skip
    of = replace(candidate(""), chain=chain)
    assert by_purpose(judge=whole(None)).run(FirstError(judge="direct"), of).outcome is RevisionOutcome.WRONG_END


TALKS_ON = "3 + 4 = 7.\nThe answer is 7.\n\nBob has 2 cats and gets 3.\nThe answer is 5."


@pytest.mark.parametrize("judge", ["rollout", *MISSING])
def test_a_chain_that_talks_on_after_the_right_conclusion_is_accepted_without_the_rest(judge: str) -> None:
    of = candidate(TALKS_ON, "7")
    revision = by_purpose(**MISSING.get(judge, {})).run(set_to(judge=judge), of)
    assert (revision.outcome, revision.after) == (RevisionOutcome.ACCEPTED, "3 + 4 = 7.\nThe answer is 7.")
    assert len(revision.verdicts) == 2
    assert of.chain.text + of.chain.tail == TALKS_ON


@pytest.mark.parametrize("judge", ["direct", "rollout"])
def test_a_chain_that_comes_to_the_answer_after_a_wrong_conclusion_is_repaired(judge: str) -> None:
    of = candidate("3 + 4 = 8.\nThe answer is 8.\nBob has 7.\nThe answer is 7.", "7")
    script = by_purpose(judge=whole(0), **{"continue": lambda r: "No." if r.steps else "3 + 4 = 7.\nThe answer is 7."})
    revision = script.run(set_to(judge=judge), of)
    assert (revision.outcome, revision.after) == (RevisionOutcome.REPAIRED, "3 + 4 = 7.\nThe answer is 7.")
    assert revision.verdicts == (WRONG, UNJUDGED)


def test_a_conclusion_said_twice_is_one_conclusion() -> None:
    of = candidate("3 + 4 = 8.\n#### 8\nThe answer is 8.", "7")
    revision = by_purpose(judge=whole(2), **{"continue": "The answer is 7."}).run(FirstError(judge="direct"), of)
    assert revision.after == "3 + 4 = 8.\nThe answer is 7."
    assert revision.first_error == 1
    of = candidate("3 + 4 = 7.\n#### 7\nThe answer is 7.", "7")
    assert by_purpose(judge=whole(None)).run(FirstError(judge="direct"), of).after == "3 + 4 = 7.\nThe answer is 7."


def test_a_flagged_chain_at_gold_is_repaired_all_the_same() -> None:
    of = candidate(CHAIN, "14")
    script = by_purpose(judge=whole(1), **{"continue": "12 + 2 is 14.\nThe answer is 14."})
    assert script.run(FirstError(judge="direct"), of).outcome is RevisionOutcome.REPAIRED
    script = by_purpose(judge=whole(1), **{"continue": REST})
    assert script.run(FirstError(judge="direct"), of).outcome is RevisionOutcome.WRONG_END


@pytest.mark.parametrize("judge", ["direct", "compare", "stepwise"])
@pytest.mark.parametrize("repair", ["blind", "shown"])
def test_an_empty_chain_is_written_by_the_teacher_unjudged(judge: str, repair: str) -> None:
    script = by_purpose(**{"continue": "3 x 4 - 2 = 10.\nThe answer is 10."})
    revision = script.run(set_to(judge=judge, repair=repair), candidate(""))
    assert (revision.outcome, revision.first_error, revision.verdicts) == (RevisionOutcome.REPAIRED, 0, ())
    assert revision.after == "3 x 4 - 2 = 10.\nThe answer is 10."
    assert len(script.asked) == 1


@pytest.mark.parametrize("judge", ["direct", "compare", "rollout", "stepwise"])
@pytest.mark.parametrize("repair", ["blind", "shown"])
def test_it_asks_for_no_more_than_it_says_it_needs(judge: str, repair: str) -> None:
    reviser = set_to(judge=judge, repair=repair)
    said = {p.name.lower(): REST for p in Purpose} | {"judge": whole(1), "compare": whole(1), "judge_step": one(False)}
    script = by_purpose(**said)
    script.run(reviser, candidate(CHAIN, None))
    assert set(purposes(script)) <= reviser.needs
    assert (Purpose.REPAIR in reviser.needs) == (repair == "shown")


def test_turns_must_be_positive() -> None:
    with pytest.raises(ValueError, match="turns"):
        FirstError(turns=0)
    assert FirstError().needs == {Purpose.CONTINUE, Purpose.ROLLOUT, Purpose.SOLVE}
