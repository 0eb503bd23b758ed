"""Beliefs in the options of a choice question, and what is no evidence for any of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, nan, sqrt
from typing import Any

import pytest
from uncertainty_kit import INTER, INTRA, OPTIONS, TASK, Scripted, draft, notes, one, said

from elad.asks import Prompt
from elad.errors import ConfigError
from elad.tasks.choice import Choice
from elad.uncertainty.elad import Elad

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
