"""ELAD's uncertainty against its definitions, on a scripted student whose every answer is known."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log, nan, sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.protocols import Fit, Generation, Prompt, Uncertainty
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
from elad.tasks.chains import make_chain
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.uncertainty.elad import Elad

TASK = Numeric()
OPTIONS = Choice()


@dataclass
class Scripted:
    """A student that says what it is told to, and remembers what it was asked."""

    says: Callable[[Prompt], str] = lambda prompt: " 0."
    weighs: Callable[[Prompt, str], float] = lambda prompt, option: -1.0
    asked: list[tuple[Sequence[Prompt], Sampling]] = field(default_factory=list[Any])
    scored: list[Sequence[tuple[Prompt, str]]] = field(default_factory=list[Any])
    id: str = "scripted"
    context: int | None = None

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        self.asked.append((prompts, sampling))
        return [Generation(text=self.says(prompt), finished=True, tokens=1) for prompt in prompts]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        self.scored.append(pairs)
        return [(self.weighs(prompt, option),) for prompt, option in pairs]

    def fit(self, *_: object, **__: object) -> Fit:
        raise NotImplementedError


def draft(text: str, *, id: str = "q", choices: tuple[str, ...] | None = None) -> tuple[Problem, Chain]:
    problem = Problem(id=id, question=f"What about {id}?", choices=choices)
    task = OPTIONS if choices else TASK
    sampling = Sampling()
    chain = make_chain(text, problem, task, finished=True, sampling=sampling, seed=0, tokens=9, most_steps=12)
    return problem, chain


def said(prompt: Prompt) -> int:
    """How many of the chain's steps the prompt holds; they are numbered in their own text."""
    return len(re.findall(r"Note \d", prompt.prefix))


def notes(count: int, answer: str | None = "5") -> str:
    """A chain of `count` numbered steps, and a conclusion unless `answer` is None."""
    lines = [f"Note {number} says so." for number in range(1, count + 1)]
    return "\n".join(lines if answer is None else [*lines, f"The answer is {answer}."])


def concluding(*answers: str | None) -> Callable[[Prompt], str]:
    """Answers by the number of steps said before the cue; None is one that cannot be read."""
    return lambda prompt: f" {answer}." if (answer := answers[said(prompt)]) else " ..."


def one(uncertainty: Elad, student: Any, text: str, choices: tuple[str, ...] | None = None) -> StepScores:
    task = OPTIONS if choices else TASK
    (scores,) = uncertainty([draft(text, choices=choices)], student, task, 7)
    return scores


INTRA = Elad(weight=1.0)
INTER = Elad(weight=0.0)


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


PLACES = ("sky", "sea", "B: sand")


def test_options_are_weighed_and_nothing_is_written() -> None:
    weights = {0: (0.4, 0.4, 0.2), 1: (0.1, 0.8, 0.1)}
    student = Scripted(weighs=lambda prompt, option: log(weights[said(prompt)]["ABC".index(option[-1])] / 3))
    hard = one(INTRA, student, notes(1, "(B) sea"), PLACES)
    assert hard.parts["intra"] == (1.0, 0.0)
    assert hard.detail["conclusions"] == ["sky", "sea", "sea"]
    assert hard.detail["beliefs"][1] == [["sky", 0.1], ["sea", 0.8], ["B: sand", 0.1]]
    assert hard.confidence == pytest.approx(0.8)
    assert student.asked == []
    assert [len(pairs) for pairs in student.scored] == [6]
    soft = one(Elad(weight=1.0, soft=True), student, notes(1, "(B) sea"), PLACES)
    # By hand: p_0 = (.4, .4, .2), p_1 = (.1, .8, .1), M = (.25, .6, .15).
    by_hand = sqrt(
        (0.4 * log(1.6, 2) + 0.4 * log(2 / 3, 2) + 0.2 * log(4 / 3, 2)
         + 0.1 * log(0.4, 2) + 0.8 * log(4 / 3, 2) + 0.1 * log(2 / 3, 2)) / 2
    )  # fmt: skip
    assert soft.parts["intra"] == (pytest.approx(by_hand), 0.0)


@pytest.mark.parametrize(
    ("per_token", "likeliest", "share"),
    [(False, "sky", 0.2 / 0.25), (True, "a long way off", 0.05 ** (1 / 3) / (0.2 + 0.05 ** (1 / 3)))],
)
def test_options_of_different_lengths_are_weighed_raw_or_by_token(
    per_token: bool, likeliest: str, share: float
) -> None:
    class Student(Scripted):
        def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
            return [(log(0.2),) if option == " sky." else (log(0.4), log(0.4), log(0.3125)) for _, option in pairs]

    # By hand: 0.2 against 0.4 * 0.4 * 0.3125 = 0.05 in sum, against 0.05 ** (1/3) = 0.368 by token.
    places = ("sky", "a long way off")
    problem, chain = draft(notes(1, "(A) sky"), choices=places)
    measure = Elad(weight=1.0, per_token=per_token)
    (scores,) = measure([(problem, chain)], Student(), Choice(weigh="texts"), 7)
    assert scores.detail["conclusions"][0] == likeliest
    belief = dict(scores.detail["beliefs"][0])
    assert belief[likeliest] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("kind", ["prefix", "leave_one_out"])
def test_a_soft_conclusion_changes_only_what_it_contradicts(kind: Any) -> None:
    student = Scripted(weighs=lambda prompt, option: log((0.1, 0.8, 0.1)["ABC".index(option[-1])]))
    uncertainty = Elad(weight=1.0, intra=kind, soft=True)
    assert one(uncertainty, student, notes(1, "(B) sea"), PLACES).parts["intra"] == (0.0, 0.0)
    contrary = one(uncertainty, student, notes(1, "(A) sky"), PLACES).parts["intra"]
    # By hand: p_1 = (.1, .8, .1), p_2 = (1, 0, 0), M = (.55, .4, .05).
    by_hand = sqrt((0.1 * log(0.1 / 0.55, 2) + 0.9 * log(2, 2) + log(1 / 0.55, 2)) / 2)
    assert contrary == pytest.approx((0.0 if kind == "prefix" else by_hand, by_hand))


def test_what_is_no_log_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="log-probabilities"):
        one(INTRA, Scripted(weighs=lambda prompt, option: float("inf")), notes(1, "(B) sea"), PLACES)


def test_one_option_of_no_number_says_nothing_of_the_others() -> None:
    def weighs(prompt: Prompt, option: str) -> float:
        return nan if option.endswith("C") and not said(prompt) else log("CBA".index(option[-1]) + 1)

    scores = one(INTRA, Scripted(weighs=weighs), notes(1, "(A) sky"), PLACES)
    assert scores.detail["conclusions"] == [None, "sky", "sky"]
    assert scores.parts["intra"] == (1.0, 0.0)


def test_an_option_that_alone_does_not_fit_says_nothing_of_the_others() -> None:
    class Tight(Scripted):
        def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
            return [(log(0.2),) if len(option) < 9 else () for _, option in pairs]

    places = ("sky", "a long way off")
    problem, chain = draft(notes(1, "(A) sky"), choices=places)
    (scores,) = INTRA([(problem, chain)], Tight(), Choice(weigh="texts"), 7)
    assert scores.detail["conclusions"] == [None, None, "sky"]


def test_lengths_are_evened_out_only_where_options_have_them() -> None:
    measure = Elad(per_token=True)
    measure.suits(Choice(weigh="texts"))
    for task in (OPTIONS, TASK):
        with pytest.raises(ConfigError, match=r"uncertainty\.per_token"):
            measure.suits(task)
        Elad().suits(task)


def test_nothing_is_drawn_for_a_chain_that_nothing_can_agree_with() -> None:
    student = Scripted(says=lambda prompt: "The answer is 5.")
    scores = one(INTER, student, notes(2, None))
    assert (scores.parts["inter"], scores.confidence) == ((1.0, 1.0), 0.0)
    assert student.asked == []


def test_a_prompt_that_does_not_fit_cannot_be_read() -> None:
    @dataclass
    class Full(Scripted):
        def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
            return [() for _ in pairs]

    scores = one(INTRA, Full(), notes(1, "(B) sea"), PLACES)
    assert scores.detail["conclusions"] == [None, None, "sea"]
    assert (scores.parts["intra"], scores.confidence) == ((0.0, 1.0), 0.0)


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
