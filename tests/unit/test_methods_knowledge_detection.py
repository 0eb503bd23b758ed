"""Knowledge detection: what is asked, what is filtered, which answers make a pair; the student is scripted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from revision_kit import TASK, Script, Sums, candidate

from elad.asks import Sample, Weighing
from elad.errors import ConfigError, DataError
from elad.methods.knowledge_detection import KnowledgeDetection, experiment
from elad.outcomes import RevisionOutcome, Verdict
from elad.records import Candidate, Message, Problem, Revision, Sampling
from elad.uncertainty.entailment import Contradiction

FACT = "The lighthouse of Vell stands on 7 rocks."


@dataclass(frozen=True)
class Numbers:
    """Contradiction by the distance of the numbers that the texts conclude, capped at 10."""

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [min(abs(said(premise) - said(claim)), 10) / 10 for premise, claim in pairs]


def said(text: str) -> int:
    return int(TASK.parse(text, candidate("").problem).answer or 0)


@dataclass(frozen=True)
class Above:
    """A judge to whom it matters which text comes first: how far the claim's number lies above the other's."""

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [min(max(said(claim) - said(premise), 0), 10) / 10 for premise, claim in pairs]


def about(text: str = "The answer is 10.", **metadata: Any) -> Candidate:
    """A draft, and a question whose data have a passage."""
    one = candidate(text)
    return replace(one, problem=replace(one.problem, metadata={"passage": FACT} | metadata))


class Student:
    """Says with the passage at hand what is next in `with_`, greedily `greedy`, and without what is next in `without`.

    The same prompt gets the same answer.
    """

    def __init__(self, greedy: int | str, with_: Sequence[int | str], without: Sequence[int | str]) -> None:
        self.greedy, self.left = greedy, {True: list(with_), False: list(without)}
        self.sampled: list[Sample] = []

    def __call__(self, sample: Sample) -> str:
        self.sampled.append(sample)
        shown = FACT in sample.prompt.messages[-1].content
        one = self.greedy if shown and sample.sampling.temperature == 0 else self.left[shown].pop(0)
        return f"The answer is {one}." if isinstance(one, int) else one


@dataclass
class Asked(Script):
    """A script whose student is told how it is drawn from."""

    says: Callable[[Sample], str] = lambda _: ""

    def tell(self, ask: Any) -> Any:
        if isinstance(ask, Sample):
            self.student = lambda _: self.says(ask)
        return super().tell(ask)


@dataclass(frozen=True)
class Shown(Sums):
    """The small task with a question's context before it."""

    def question(self, problem: Problem) -> str:
        return f"{problem.context}\n{problem.question}" if problem.context else problem.question

    def messages(self, problem: Problem) -> tuple[Message, ...]:
        return (Message(role="user", content=self.question(problem)),)


def nobody(_: object) -> str:
    raise AssertionError("the teacher was asked")


def revise(
    reviser: KnowledgeDetection, student: Callable[[Sample], str], of: Candidate | None = None, **more: Any
) -> Revision:
    script = Asked(teacher=nobody, says=student, **more)
    work = reviser(of or about(), Shown())
    try:
        asks = next(work)
        while True:
            asks = work.send(tuple(script.tell(ask) for ask in asks))
    except StopIteration as stop:
        return stop.value


def reviser(**settings: Any) -> KnowledgeDetection:
    return KnowledgeDetection(**({"nli": Numbers(), "samples": 3} | settings))


def test_what_the_student_does_not_know_becomes_a_pair() -> None:
    revision = revise(reviser(), Student(7, [7, 7, 8], [20, 9, 30]))
    assert revision.outcome is RevisionOutcome.REWRITTEN
    assert (revision.after, revision.answer) == ("The answer is 7.", "7")
    assert revision.rejected == "The answer is 20."  # the first of those that contradict it most
    assert revision.detail["with"] == [0, 0, 0.1]
    assert revision.detail["without"] == [1, 0.2, 1]
    assert revision.detail["consistency"] == pytest.approx(0.1 / 3)
    assert revision.detail["unknown"] == pytest.approx(2.2 / 3)
    assert revision.before == "The answer is 10."
    assert revision.verdicts == (Verdict.UNJUDGED,)
    assert (revision.charge.calls, revision.requests) == (0, ())
    assert revision.detail["judge"] == "Numbers"
    assert "Numbers" in revision.reviser


def test_what_it_knows_is_left_out_and_so_is_what_it_does_not_read_out_of_the_passage() -> None:
    known = revise(reviser(), Student(7, [7, 7, 7], [7, 7, 20]))
    assert (known.outcome, known.after, known.rejected) == (RevisionOutcome.KNOWN, None, None)
    assert known.detail["unknown"] == pytest.approx(1 / 3)
    unsure = revise(reviser(), Student(7, [40, 50, 7], [20, 9, 30]))
    assert (unsure.outcome, unsure.after) == (RevisionOutcome.UNSURE, None)
    assert unsure.detail["consistency"] == pytest.approx(2 / 3)
    assert not known.outcome.trainable
    assert not unsure.outcome.trainable


def test_a_filter_keeps_what_lies_beyond_its_bound_and_not_on_it() -> None:
    def outcome(**settings: Any) -> RevisionOutcome:
        return revise(reviser(samples=2, **settings), Student(7, [7, 17], [7, 17])).outcome

    assert outcome(unknown=None) is RevisionOutcome.UNSURE
    assert outcome(consistency=None) is RevisionOutcome.KNOWN
    assert outcome(consistency=0.51, unknown=0.49) is RevisionOutcome.REWRITTEN
    assert outcome(consistency=None, unknown=None) is RevisionOutcome.REWRITTEN


def test_the_passage_stands_before_the_question_where_it_should_and_the_draws_are_as_set() -> None:
    student = Student(7, [7, 7, 7], [20, 9, 30])
    of = about("The answer is 10.")
    of = replace(of, problem=replace(of.problem, context="Map 3."))
    revise(reviser(temperature=0.9, passage_temperature=0.6, top_p=0.8), student, of)
    ways = [sample.sampling for sample in student.sampled]
    assert ways == [Sampling(temperature=t, top_p=0.8) for t in (0.0, *[0.6] * 3, *[0.9] * 3)]
    texts = [sample.prompt.messages[-1].content for sample in student.sampled]
    assert [text.startswith(f"{FACT}\n\nMap 3.\n") for text in texts] == [True] * 4 + [False] * 3
    assert all(text.startswith("Map 3.\n") for text in texts[4:])
    assert len({sample.prompt.seed for sample in student.sampled}) == 7


def test_samples_are_fixed_by_the_draft_and_the_question() -> None:
    def seeds(of: Candidate, samples: int = 3) -> list[int]:
        student = Student(7, [7] * samples, [9] * samples)
        revise(reviser(samples=samples), student, of)
        return [sample.prompt.seed for sample in student.sampled]

    one = about()
    assert seeds(one) == seeds(one)
    assert not set(seeds(one)) & set(seeds(replace(one, chain=replace(one.chain, seed=1))))
    assert not set(seeds(one)) & set(seeds(replace(one, problem=replace(one.problem, id="q2"))))
    few, more = seeds(one, 2), seeds(one, 3)
    assert few[:3] == more[:3]
    assert few[3:] == more[4:6]  # a further sample leaves the others what they were


def test_an_answer_ends_where_it_concludes() -> None:
    revision = revise(
        reviser(samples=1), Student("1 + 6 = 7.\nThe answer is 7.\nQ: more?", [7], ["The answer is 20.\nSo 7?"])
    )
    assert revision.after == "1 + 6 = 7.\nThe answer is 7.\n"
    assert revision.rejected == "The answer is 20.\n"


@pytest.mark.parametrize(
    ("student", "outcome"),
    [
        (Student("", [7] * 3, [20] * 3), RevisionOutcome.UNREADABLE),
        (Student(7, ["", " ", ""], [20] * 3), RevisionOutcome.UNREADABLE),
        (Student(7, [7] * 3, ["", "\n", ""]), RevisionOutcome.UNREADABLE),
        (Student("I think of 7", [7] * 3, [20] * 3), RevisionOutcome.UNSURE),
    ],
)
def test_what_says_nothing_is_no_pair(student: Student, outcome: RevisionOutcome) -> None:
    revision = revise(reviser(), student)
    assert (revision.outcome, revision.after, revision.rejected) == (outcome, None, None)


def test_empty_samples_are_left_out_of_the_means() -> None:
    revision = revise(reviser(), Student(7, [7, "", 8], ["", 20, 9]))
    assert revision.detail["with"] == [0, 0.1]
    assert revision.detail["without"] == [1, 0.2]


def test_what_does_not_conclude_or_does_not_differ_is_no_pair() -> None:
    loose = reviser(consistency=None, unknown=None)
    assert revise(loose, Student("It is 7", [7] * 3, [20] * 3)).outcome is RevisionOutcome.WRONG_END
    assert revise(loose, Student(7, [7] * 3, [7] * 3)).outcome is RevisionOutcome.COPIED


def test_a_question_without_a_passage_is_bad_data_and_the_nearest_column_is_named() -> None:
    one = candidate("The answer is 10.")
    for metadata in ({}, {"passage": " "}, {"passage": 3}):
        with pytest.raises(DataError, match=r"question 'q1': no passage in the column 'passage'"):
            revise(reviser(), nobody, replace(one, problem=replace(one.problem, metadata=metadata)))
    with pytest.raises(DataError, match="did you mean 'passages'"):
        revise(reviser(), nobody, replace(one, problem=replace(one.problem, metadata={"passages": "x"})))


# The variant without passages.


def test_without_passages_the_least_contradicted_is_preferred_to_the_most() -> None:
    revision = revise(reviser(passage=None, unknown=0.3), Student(0, [], [10, 20, 14]), candidate("The answer is 3."))
    assert revision.outcome is RevisionOutcome.REWRITTEN
    assert revision.detail["without"] == pytest.approx([0.7, 0.8, 0.5])
    assert revision.detail["unknown"] == pytest.approx(2 / 3)
    assert "consistency" not in revision.detail
    assert (revision.after, revision.rejected) == ("The answer is 14.", "The answer is 20.")


def test_without_passages_each_two_are_judged_both_ways_and_no_two_texts_twice() -> None:
    asked: list[tuple[str, str]] = []

    @dataclass(frozen=True)
    class Noting:
        def contradiction(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            asked.extend(pairs)
            return [0.9] * len(pairs)

    revise(reviser(passage=None, nli=Noting()), Student(0, [], [1, 2, 1]), candidate(""))
    assert asked == [("The answer is 2.", "The answer is 1."), ("The answer is 1.", "The answer is 2.")]
    asked.clear()
    revise(reviser(nli=Noting()), Student(7, [8] * 3, [20, 7, 20]))
    assert asked == [("The answer is 8.", "The answer is 7."), ("The answer is 20.", "The answer is 7.")]


def test_what_the_student_agrees_on_without_passages_is_known() -> None:
    revision = revise(reviser(passage=None), Student(0, [], [5, 5, 5]), candidate(""))
    assert (revision.outcome, revision.detail["unknown"]) == (RevisionOutcome.KNOWN, 0)
    few = revise(reviser(passage=None), Student(0, [], [5, "", ""]), candidate(""))
    assert few.outcome is RevisionOutcome.UNREADABLE


# The student as its own judge.


def test_the_student_judges_by_the_weight_of_its_yes() -> None:
    asked: list[Weighing] = []

    def weigh(one: Weighing) -> tuple[tuple[float, ...], ...]:
        asked.append(one)
        yes = 0.9 if "is 20" in one.prompt.messages[-1].content else 0.2
        return ((log(yes),), (log((1 - yes) / 2), log(0.5)))

    revision = revise(reviser(nli=None), Student(7, [8, 8, 7], [20, 20, 9]), weigh=weigh)
    yes, no = (0.9 / (0.9 + 0.025), 0.2 / (0.2 + 0.2))
    assert revision.detail["with"] == pytest.approx([no, no, 0])
    assert revision.detail["without"] == pytest.approx([yes, yes, no])
    assert revision.detail["judge"] == "student"
    assert len(asked) == 3  # each two texts once, and none that say the same
    first = asked[0].prompt.messages[-1].content
    assert first.index("The answer is 7.") < first.index("The answer is 8.")
    assert "Tom has 3 bags" in first
    assert FACT not in first


def test_what_does_not_fit_the_judge_is_an_outcome() -> None:
    revision = revise(reviser(nli=None), Student(7, [8] * 3, [20] * 3), weigh=lambda one: ((),) * len(one.options))
    assert revision.outcome is RevisionOutcome.UNREADABLE


@pytest.mark.parametrize("values", [[], [0.5, 0.5], [1.5], [float("nan")]])
def test_a_judge_of_ones_own_must_give_probabilities(values: list[float]) -> None:
    @dataclass(frozen=True)
    class Wrong:
        def contradiction(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            return values

    with pytest.raises(ValueError, match=r"reviser\.nli: a judge must give 1 probabilities"):
        revise(reviser(nli=Wrong(), samples=1), Student(7, [7], [20]))


# Properties, against a slow reference of the paper's equations.


numbers = st.integers(0, 30)
bounds = st.none() | st.floats(0, 1)


@given(
    greedy=numbers,
    drawn=st.integers(1, 6).flatmap(lambda k: st.tuples(*[st.lists(numbers, min_size=k, max_size=k)] * 2)),
    consistency=bounds,
    unknown=bounds,
)
def test_the_filters_are_those_of_the_paper(
    greedy: int, drawn: tuple[list[int], list[int]], consistency: float | None, unknown: float | None
) -> None:
    with_, without = drawn
    revision = revise(
        reviser(samples=len(with_), consistency=consistency, unknown=unknown), Student(greedy, with_, without)
    )

    def apart(other: int) -> float:
        return min(abs(greedy - other), 10) / 10

    s_l, s_k = fmean(map(apart, with_)), fmean(map(apart, without))
    assert revision.detail["consistency"] == pytest.approx(s_l)
    assert revision.detail["unknown"] == pytest.approx(s_k)
    worst = max(without, key=apart)
    kept = (consistency is None or s_l < consistency) and (unknown is None or s_k > unknown) and worst != greedy
    assert (revision.outcome is RevisionOutcome.REWRITTEN) == kept
    if kept:
        assert (revision.after, revision.rejected) == (f"The answer is {greedy}.", f"The answer is {worst}.")


@given(
    drawn=st.lists(numbers, min_size=2, max_size=6),
    unknown=st.floats(0, 1),
    rng=st.randoms(),
    nli=st.sampled_from([Numbers(), Above()]),
)
def test_the_order_of_samples_does_not_decide_whether_a_question_is_kept(
    drawn: list[int], unknown: float, rng: Any, nli: Any
) -> None:
    settings = reviser(passage=None, samples=len(drawn), unknown=unknown, nli=nli)
    shuffled = rng.sample(drawn, len(drawn))
    one, other = (revise(settings, Student(0, [], order), candidate("")) for order in (drawn, shuffled))
    if one.detail["unknown"] == other.detail["unknown"]:  # the sum of the same numbers, up to rounding
        assert one.outcome is other.outcome
    assert one.detail["unknown"] == pytest.approx(other.detail["unknown"])
    assert sorted(one.detail["without"]) == pytest.approx(sorted(other.detail["without"]))


@given(drawn=st.lists(numbers, min_size=1, max_size=6), taus=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_higher_bound_keeps_no_question_that_a_lower_one_left_out(
    drawn: list[int], taus: tuple[float, float]
) -> None:
    low, high = sorted(taus)
    outcomes = [
        revise(reviser(samples=len(drawn), unknown=tau), Student(7, [7] * len(drawn), drawn)).outcome
        for tau in (low, high)
    ]
    if outcomes[1] is RevisionOutcome.REWRITTEN:
        assert outcomes[0] is RevisionOutcome.REWRITTEN


# Settings.


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"passage": ""}, "passage"),
        ({"samples": 0}, "samples"),
        ({"samples": 1, "passage": None}, "samples"),
        ({"temperature": 0.0}, "temperature"),
        ({"passage_temperature": float("nan")}, "passage_temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"consistency": 1.5}, "consistency"),
        ({"unknown": -0.1}, "unknown"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: Mapping[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"reviser\.{key}:"):
        KnowledgeDetection(**settings)


def test_the_experiment_is_a_value_and_the_teacher_need_serve_nothing() -> None:
    one = experiment()
    assert one.reviser.needs == frozenset()
    assert one.training.warm_start
    assert one.training.learning_rate == 1e-5  # the paper's DPO, ten times as for LoRA
    other = one.but(["reviser.passage=text", "reviser.nli.model=some-folder"])
    assert isinstance(other.reviser, KnowledgeDetection)
    assert isinstance(other.reviser.nli, Contradiction)
    assert other.reviser.passage == "text"
    with pytest.raises(ConfigError, match="warm_start"):
        one.but(["training.warm_start=false"])
