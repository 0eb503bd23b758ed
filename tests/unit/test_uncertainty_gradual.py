"""All samples after a few of them are all samples at once, and no score passes what it was said to come to at most."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.asks import Generation, Prompt
from elad.errors import ConfigError
from elad.protocols import Gradual, Ranking
from elad.records import Chain, Message, Problem, Sampling, StepScores, from_json, to_json
from elad.selection.random import Random as ByLot
from elad.selection.top import Top
from elad.students.fake import Fake, FakeStudent
from elad.tasks.chains import make_chain
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.uncertainty.elad import Elad

NUMBERS = st.integers(2, 60)
STORIES = st.builds(
    lambda a, b, c: f"Ana has {a} pens. Ana buys {b} pens and finds {c} pens. How many pens are there?",
    NUMBERS,
    NUMBERS,
    NUMBERS,
)
MEASURES = st.builds(
    Elad,
    samples=st.integers(2, 6),
    weight=st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    aggregate=st.sampled_from(["mean", "max", "sum"]),
    soft=st.booleans(),
)


class Counting:
    """The scripted student, and how many samples were asked of it."""

    def __init__(self, student: FakeStudent) -> None:
        self.student = student
        self.id, self.context = student.id, student.context
        self.score, self.fit = student.score, student.fit
        self.drawn = 0

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        self.drawn += len(prompts)
        return self.student.generate(prompts, sampling, until)


def drafted(questions: Sequence[str], student: FakeStudent, *, choice: bool) -> list[tuple[Problem, Chain]]:
    task = Choice() if choice else Numeric()
    made: list[tuple[Problem, Chain]] = []
    for place, question in enumerate(questions):
        problem = Problem(id=str(place), question=question, choices=("yes", "no", "maybe") if choice else None)
        prompt = Prompt(messages=(Message(role="user", content=task.question(problem)),))
        (said,) = student.generate([prompt], Sampling())
        text = "" if place % 5 == 4 else said.text  # now and then a chain without steps
        chain = make_chain(
            text, problem, task, finished=said.finished, sampling=Sampling(), seed=0, tokens=1, most_steps=8
        )
        made.append((problem, chain))
    return made


@settings(deadline=None, max_examples=60)
@given(questions=st.lists(STORIES, min_size=1, max_size=6), measure=MEASURES, choice=st.booleans(), data=st.data())
def test_all_samples_after_a_few_are_all_samples(
    questions: list[str], measure: Elad, choice: bool, data: st.DataObject
) -> None:
    few = data.draw(st.integers(1, measure.samples - 1))
    student = Counting(Fake(skill=0.5).open())
    drafts, task = drafted(questions, student.student, choice=choice), Choice() if choice else Numeric()
    whole = measure(drafts, student, task, 3)
    at_once, student.drawn = student.drawn, 0
    begun = [from_json(StepScores, to_json(one)) for one in measure.few(few)(drafts, student, task, 3)]
    assert measure.complete(drafts, begun, student, task, 3) == whole
    assert student.drawn == at_once
    for sketch, score in zip(begun, whole, strict=True):
        assert sketch.aggregate <= measure.most(sketch) + 1e-12
        assert score.aggregate <= measure.most(sketch)


def test_nothing_is_asked_where_no_chain_has_steps() -> None:
    student = Counting(Fake().open())
    ((problem, chain),) = drafted(["Ana has 2 pens."], student.student, choice=False)
    empty = [(problem, replace(chain, text="", steps=()))]
    measure = Elad(samples=3)
    begun = measure.few(1)(empty, student, Numeric(), 0)
    assert measure.most(begun[0]) == 1.0
    assert measure.complete(empty, begun, student, Numeric(), 0) == begun
    assert student.drawn == 0


@pytest.mark.parametrize(
    ("measure", "few"), [(Elad(samples=3), 3), (Elad(samples=3), 4), (Elad(weight=1.0), 2)], ids=["all", "more", "none"]
)
def test_samples_that_are_not_fewer_are_refused(measure: Elad, few: int) -> None:
    with pytest.raises(ConfigError, match=r"adaptive\.few"):
        measure.few(few)


def test_who_can_begin_with_few_and_who_ranks_says_so() -> None:
    assert isinstance(Elad(), Gradual)
    assert isinstance(Top(), Ranking)
    assert not isinstance(ByLot(), Ranking)


def test_on_simulated_shares_the_picks_are_those_of_all_samples() -> None:
    """Shares as a weak student has them: 400 chains of 2 to 6 steps, each agreed with at a rate of its own."""
    measure, few, count, rng = Elad(samples=5), 2, 40, Random(0)
    agreed = 0
    drawn = of_all = 0
    for _ in range(20):
        whole = [simulated(rng, measure.samples) for _ in range(400)]
        begun = [cut(measure, one, few) for one in whole]
        most, done = [measure.most(one) for one in begun], set[int]()
        while open_ := [at for at in ranked(most, count) if at not in done]:
            done.update(open_)
            for at in open_:
                most[at] = whole[at].aggregate
        steps = [len(one.steps) for one in whole]
        drawn += sum(n * (measure.samples if at in done else few) for at, n in enumerate(steps))
        of_all += sum(n * measure.samples for n in steps)
        agreed += ranked(most, count) == ranked([one.aggregate for one in whole], count)
    assert agreed == 20
    assert drawn < 0.7 * of_all


def ranked(scores: Sequence[float], count: int) -> list[int]:
    """The places of the highest scores, all that tie with the last one among them."""
    bar = sorted(scores)[-count]
    return sorted((at for at, score in enumerate(scores) if score >= bar), key=lambda at: (-scores[at], at))


def simulated(rng: Random, samples: int) -> StepScores:
    """The scores of a chain, each of its steps agreed with at a rate that its neighbours are near to."""
    rate, rows = rng.betavariate(1, 2), list[list[str | None]]()
    for _ in range(rng.randint(2, 6)):
        rate = min(1.0, max(0.0, rate + rng.gauss(0, 0.15)))
        rows.append(["yes" if rng.random() < rate else "no" for _ in range(samples)])
    intra = tuple(float(rng.random() < 0.5) for _ in rows)
    return of(Elad(samples=samples), intra, rows)


def cut(measure: Elad, whole: StepScores, few: int) -> StepScores:
    return of(measure.few(few), whole.parts["intra"], [row[:few] for row in whole.detail["sampled"]])


def of(measure: Elad, intra: tuple[float, ...], rows: Sequence[list[str | None]]) -> StepScores:
    """The scores that a measure makes of what its samples say, where "yes" agrees."""
    inter = tuple(row.count("no") / measure.samples for row in rows)
    steps = tuple(0.5 * one + 0.5 * other for one, other in zip(intra, inter, strict=True))
    return StepScores(
        parts={"intra": intra, "inter": inter},
        steps=steps,
        aggregate=sum(steps) / len(steps),
        confidence=0.0,
        detail={"sampled": rows},
    )
