"""ELAD's uncertainty against its definitions, on a scripted student whose every answer is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uncertainty_kit import INTER, INTRA, TASK, Scripted, concluding, draft, notes, one, said

from elad.asks import Prompt
from elad.protocols import Uncertainty
from elad.records import (
    Chain,
    Message,
    Problem,
    Sampling,
    StepScores,
    derive_seed,
    from_json,
    to_json,
)
from elad.students.fake import Fake
from elad.uncertainty.elad import Elad


def test_prefix_compares_each_conclusion_with_the_one_before() -> None:
    student = Scripted(says=concluding("9", "4", "005"))
    scores = one(INTRA, student, notes(2))
    assert scores.parts == {"intra": (1.0, 1.0, 0.0)}
    assert scores.detail["conclusions"] == ["9", "4", "5", "5"]
    ((prompts, sampling),) = student.asked
    assert [prompt.prefix for prompt in prompts] == [
        "The answer is",
        "Note 1 says so.\nThe answer is",
        "Note 1 says so.\nNote 2 says so.\nThe answer is",
    ]
    assert (sampling.temperature, sampling.max_tokens) == (0.0, 16)


@pytest.mark.parametrize(
    ("conclusions", "plain", "settled"),
    [
        (("9", "4", "5"), (1, 1, 0), (0, 0, 0)),
        (("5", "4", "5"), (1, 1, 0), (1, 1, 0)),
        (("9", "5", "4"), (1, 1, 1), (0, 1, 1)),
        ((None, None, "5"), (0, 1, 0), (0, 0, 0)),
        ((None, None, None), (0, 0, 1), (0, 0, 0)),
        (("5", None, None), (1, 0, 1), (1, 0, 1)),
    ],
)
def test_settled_counts_from_where_the_answer_was_first_reached(
    conclusions: tuple[str | None, ...], plain: tuple[float, ...], settled: tuple[float, ...]
) -> None:
    student = Scripted(says=concluding(*conclusions))
    assert one(INTRA, student, notes(2)).parts["intra"] == plain
    assert one(Elad(weight=1.0, settled=True), student, notes(2)).parts["intra"] == settled


@given(st.lists(st.sampled_from(["5", "7", None]), min_size=2, max_size=8), st.booleans())
def test_prefix_is_what_it_is_defined_to_be(conclusions: list[str | None], soft: bool) -> None:
    count = len(conclusions) - 1
    student = Scripted(says=concluding(*conclusions))
    path = [*conclusions, "5"]
    defined = tuple(float(after != before) for before, after in pairwise(path))
    # All K samples of this student agree, so that the soft form must give the hard one.
    assert one(Elad(weight=1.0, soft=soft), student, notes(count)).parts["intra"] == defined
    settled = one(Elad(weight=1.0, soft=soft, settled=True), student, notes(count)).parts["intra"]
    assert all(less <= more for less, more in zip(settled, defined, strict=True))


def test_leave_one_out_omits_the_step_and_the_conclusion() -> None:
    student = Scripted(says=lambda prompt: " 5." if "Note 1" in prompt.prefix else " 6.")
    scores = one(Elad(weight=1.0, intra="leave_one_out"), student, notes(2))
    ((prompts, _),) = student.asked
    assert [prompt.prefix for prompt in prompts] == [
        "Note 2 says so.\nThe answer is",
        "Note 1 says so.\nThe answer is",
        "Note 1 says so.\nNote 2 says so.\nThe answer is",
    ]
    assert scores.parts["intra"] == (1.0, 0.0, 0.0)
    assert scores.detail["conclusions_without"] == ["6", "5", "5"]


def test_a_chain_without_an_answer_agrees_with_nothing() -> None:
    silent = Scripted(says=lambda prompt: "")
    text = notes(2, None)
    assert one(INTRA, silent, text).parts["intra"] == (0.0, 1.0)
    assert one(Elad(weight=1.0, settled=True), silent, text).parts["intra"] == (0.0, 1.0)
    assert one(Elad(weight=1.0, intra="leave_one_out"), silent, text).parts["intra"] == (1.0, 1.0)
    scores = one(INTER, silent, text)
    assert (scores.parts["inter"], scores.aggregate, scores.confidence) == ((1.0, 1.0), 1.0, 0.0)


RAMBLING = "Note 1 says so.\nThe answer is 5.\nThis is right.\nThe answer is 5."


@pytest.mark.parametrize(("aggregate", "expected"), [("mean", 0.75), ("max", 1.0), ("sum", 1.5)])
def test_what_follows_the_first_conclusion_is_not_scored(aggregate: Any, expected: float) -> None:
    student = Scripted(
        says=lambda prompt: " 5." if said(prompt) and prompt.prefix.endswith(TASK.cue) else " Who knows?"
    )
    scores = one(Elad(samples=3, aggregate=aggregate), student, RAMBLING)
    assert [len(prompts) for prompts, _ in student.asked] == [2, 6]
    assert scores.parts == {"intra": (1.0, 0.0), "inter": (1.0, 1.0)}
    assert scores.steps == (1.0, 0.5)
    assert scores.aggregate == expected
    assert scores.detail["conclusions"] == [None, "5", "5"]


def test_leave_one_out_sees_no_conclusion_however_the_chain_goes_on() -> None:
    student = Scripted(says=lambda prompt: " 6.")
    scores = one(Elad(weight=1.0, intra="leave_one_out"), student, RAMBLING)
    ((prompts, _),) = student.asked
    assert [prompt.prefix for prompt in prompts] == ["The answer is", "Note 1 says so.\nThe answer is"]
    assert scores.parts == {"intra": (1.0, 1.0)}
    assert scores.aggregate == 1.0


def test_a_conclusion_said_twice_is_scored_once() -> None:
    text = "Note 1 says so.\n#### 5\nThe answer is 5."
    scores = one(Elad(samples=3), Scripted(says=lambda prompt: " 6."), text)
    assert scores.parts == {"intra": (0.0, 1.0, 0.0), "inter": (1.0, 1.0, 0.0)}
    assert scores.aggregate == 0.75


@pytest.mark.parametrize("rest", ["", "\nBob has 2 cats.\nThe answer is 8.", " The answer is 8."])
def test_a_continuation_answers_where_it_first_concludes(rest: str) -> None:
    student = Scripted(says=lambda prompt: f"The answer is 5.{rest}" if not said(prompt) else f" 5.{rest}")
    assert one(INTER, student, notes(1)).detail["sampled"][0] == ["5"] * 5
    assert one(INTRA, student, notes(1)).detail["conclusions"] == ["5", "5", "5"]


def test_a_prefix_that_names_the_answer_does_not_conclude_for_what_follows() -> None:
    text = "Note 1: I think the answer is 5.\nNote 2 says so."
    student = Scripted(says=lambda prompt: "The answer is 5." if prompt.seed in agree else "Who knows?")
    agree = {derive_seed(7, "q", "inter", 2, 0)}
    scores = one(Elad(weight=0.0, samples=4), student, text)
    assert scores.parts == {"inter": (1.0, 0.75)}
    assert scores.detail["sampled"] == [[None] * 4, ["5", None, None, None]]


def test_soft_free_answers_are_shares_of_short_samples() -> None:
    halves = Scripted(says=lambda prompt: " 5." if prompt.seed % 2 else " 6.\nOr 5.")
    scores = one(Elad(weight=1.0, soft=True, probe_samples=8, temperature=0.9), halves, notes(1))
    ((prompts, sampling),) = halves.asked
    assert len(prompts) == 16
    assert len({prompt.seed for prompt in prompts}) == 16
    assert sampling.temperature == 0.9
    share = sum(prompt.seed % 2 for prompt in prompts[8:]) / 8
    assert scores.confidence == share
    assert dict(map(tuple, scores.detail["beliefs"][1])) == pytest.approx({"5": share, "6": 1 - share})


def test_inter_is_the_share_that_ends_elsewhere() -> None:
    def says(prompt: Prompt) -> str:
        sample = [derive_seed(7, "q", "inter", said(prompt) + 1, m) for m in range(4)].index(prompt.seed)
        return ["\nThe answer is 5.", "\nThe answer is 5.", "\nThe answer is 8.", "\nWho knows?"][
            max(sample, said(prompt))
        ]

    student = Scripted(says=says)
    scores = one(Elad(weight=0.0, samples=4, temperature=0.6), student, notes(3))
    assert scores.parts == {"inter": (0.5, 0.5, 1.0, 1.0)}
    assert scores.confidence == 0.5
    assert scores.detail["sampled"][0] == ["5", "5", "8", None]
    ((prompts, sampling),) = student.asked
    assert sampling == Sampling(temperature=0.6, max_tokens=draft(notes(3))[1].sampling.max_tokens)
    assert [prompt.prefix for prompt in prompts[::4]] == [draft(notes(3))[1].prefix(place) for place in range(4)]


def test_entailment_compares_the_step_with_the_one_drawn_anew() -> None:
    asked: list[tuple[str, str]] = []

    def nli(pairs: Sequence[tuple[str, str]]) -> list[float]:
        asked.extend(pairs)
        return [0.2 if first.startswith("Note") else 0.7 for first, _ in pairs]

    student = Scripted(says=lambda prompt: "Other words.\nThe answer is 5." if said(prompt) == 0 else "")
    scores = one(Elad(weight=0.0, inter="entailment", nli=nli, samples=2), student, notes(1))
    assert asked == [("Note 1 says so.", "Other words."), ("Other words.", "Note 1 says so.")]
    assert scores.parts["inter"] == pytest.approx((0.8, 1.0))
    assert scores.confidence == 1.0
    assert scores.detail["resampled"] == [["Other words."] * 2, ["", ""]]


@pytest.mark.parametrize(("aggregate", "expected"), [("mean", (0.2 + 0.7 + 0) / 3), ("max", 0.7), ("sum", 0.2 + 0.7)])
def test_weight_and_aggregate(aggregate: Any, expected: float) -> None:
    def says(prompt: Prompt) -> str:
        if prompt.prefix.endswith(TASK.cue):
            return " 9." if said(prompt) < 2 else " 5."
        return "The answer is 6." if said(prompt) < 2 and prompt.seed in wrong else "The answer is 5."

    wrong = {derive_seed(7, "q", "inter", 1, m) for m in range(2)} | {derive_seed(7, "q", "inter", 2, 0)}
    scores = one(Elad(weight=0.6, samples=4, aggregate=aggregate), Scripted(says=says), notes(2))
    assert scores.parts == {"intra": (0.0, 1.0, 0.0), "inter": (0.5, 0.25, 0.0)}
    assert scores.steps == pytest.approx((0.2, 0.7, 0.0))
    assert scores.aggregate == pytest.approx(expected)


@pytest.mark.parametrize(("weight", "batches"), [(1.0, [6]), (0.0, [30]), (0.5, [6, 30])])
def test_few_calls_and_none_in_vain(weight: float, batches: list[int]) -> None:
    student = Scripted()
    drafts = [draft(notes(2), id="a"), draft("", id="b"), draft(notes(2), id="c")]
    scores = Elad(weight=weight)(drafts, student, TASK, 0)
    assert [len(prompts) for prompts, _ in student.asked] == batches
    assert student.scored == []
    assert [set(each.parts) for each in scores] == [set(scores[0].parts), set(), set(scores[0].parts)]


def test_nothing_to_score_asks_nothing() -> None:
    student = Scripted()
    assert Elad()([], student, TASK, 0) == []
    (empty,) = Elad()([draft("")], student, TASK, 0)
    assert (empty.parts, empty.steps, empty.aggregate, empty.confidence) == ({}, (), 1.0, 0.0)
    assert student.asked == []


def test_a_chain_of_one_step() -> None:
    scores = one(
        Elad(),
        Scripted(says=lambda prompt: " 5." if prompt.prefix else "The answer is 4."),
        "The answer is 5.",
    )
    assert scores.parts == {"intra": (0.0,), "inter": (1.0,)}
    assert (scores.aggregate, scores.confidence) == (0.5, 0.0)


@dataclass(frozen=True, kw_only=True)
class Flat:
    """A scorer of the user's own."""

    value: float = 0.5

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [self.value] * len(pairs)


EVERY = [
    Elad(),
    Elad(soft=True, settled=True, aggregate="max"),
    Elad(intra="leave_one_out", soft=True, samples=2, aggregate="sum"),
    Elad(inter="entailment", nli=Flat()),
]


@pytest.mark.parametrize("uncertainty", EVERY)
@settings(max_examples=10)
@given(order=st.permutations(range(5)), seed=st.integers(0, 2**31))
def test_the_batch_does_not_matter(uncertainty: Uncertainty, order: list[int], seed: int) -> None:
    student = Fake(skill=0.4).open()
    questions = [f"Tom has {n + 2} pears. He ate {n}. He got {3 * n} more. How many now?" for n in range(5)]
    prompts = [Prompt(messages=(Message(role="user", content=question),)) for question in questions]
    drafts: list[tuple[Problem, Chain]] = []
    for number, generation in enumerate(student.generate(prompts, Sampling())):
        _, chain = draft(generation.text, id=str(number))
        drafts.append((Problem(id=str(number), question=questions[number]), chain))
    whole = uncertainty(drafts, student, TASK, seed)
    shuffled = uncertainty([drafts[place] for place in order], student, TASK, seed)
    assert shuffled == [whole[place] for place in order]
    assert whole[order[0]] == uncertainty([drafts[order[0]]], student, TASK, seed)[0]
    for scores, (_, chain) in zip(whole, drafts, strict=True):
        assert {len(values) for values in scores.parts.values()} == {len(chain.steps)} == {len(scores.steps)}
        assert 0 <= scores.confidence <= 1
        assert from_json(StepScores, to_json(scores)) == scores
