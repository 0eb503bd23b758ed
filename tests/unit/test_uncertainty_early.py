"""A continuation that is ended early answers as it would have at its end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from elad.asks import Generation, Prompt
from elad.protocols import Fit, Task
from elad.records import Problem, Sampling
from elad.tasks.chains import concluded, make_chain
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.tasks.text import Text
from elad.uncertainty.answers import draw, settled
from elad.uncertainty.inter import Inter
from elad.uncertainty.probes import Probe, conclude

NUMBER = Problem(id="a", question="?", answer="4")
WORD = Problem(id="c", question="?", answer="wait")
OPTIONS = Problem(id="b", question="?", answer="x", choices=("x", "y"))
PIECES = (
    "The answer is 4",
    "the answer is 12",
    "The answer is (A)",
    "the answer is (B)",
    "#### 4",
    "So ",
    "no, ",
    "wait",
)
MARKS = (".", "\n", " ", "?", "$", " eggs", "7", "A", "(B)", "3 + 1 = 4", "Step 1: ", "Therefore, ", " or ", "\n\n")
TEXTS = st.lists(st.sampled_from(PIECES + MARKS), min_size=2, max_size=14).map("".join)


ASKED = st.sampled_from([(NUMBER, Numeric()), (OPTIONS, Choice()), (WORD, Text())])


@dataclass
class Reciting:
    """A student that says the same each time, and may stop where it is told that it has said enough."""

    text: str
    every: int
    obeys: bool
    id: str = "reciting"
    context: int | None = None

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        return [self._said(place, until) for place in range(len(prompts))]

    def _said(self, place: int, until: Callable[[int, str], bool] | None) -> Generation:
        for end in range(self.every, len(self.text), self.every) if until and self.obeys else ():
            if until and until(place, self.text[:end]):
                return Generation(text=self.text[:end], finished=False, tokens=end)
        return Generation(text=self.text, finished=True, tokens=len(self.text))

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        raise NotImplementedError

    def fit(self, *_: object, **__: object) -> Fit:
        raise NotImplementedError


@settings(deadline=None, max_examples=300)
@given(written=TEXTS, text=TEXTS, asked=ASKED, every=st.integers(1, 9))
def test_other_explanations_agree_alike_where_they_end_early(
    written: str, text: str, asked: tuple[Problem, Task], every: int
) -> None:
    problem, task = asked
    draft = make_chain(written, problem, task, finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12)
    inter = Inter(samples=1, temperature=0.7, nli=None)
    obedient, heedless = (
        inter([(problem, draft)], Reciting(text, every, obeys), task, seed=0) for obeys in (True, False)
    )
    assert obedient == heedless


@settings(deadline=None, max_examples=300)
@given(text=TEXTS, asked=ASKED, every=st.integers(1, 9))
def test_whole_explanations_answer_alike_where_they_end_early(
    text: str, asked: tuple[Problem, Task], every: int
) -> None:
    problem, task = asked
    draft = make_chain("3.", problem, task, finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12)
    obedient, heedless = (
        draw([(problem, draft)], Reciting(text, every, obeys), task, 0, samples=2, temperature=0.7)
        for obeys in (True, False)
    )
    assert obedient == heedless


@settings(deadline=None, max_examples=300)
@given(text=TEXTS, asked=st.sampled_from([(NUMBER, Numeric()), (WORD, Text())]), every=st.integers(1, 9))
def test_a_conclusion_that_is_asked_for_is_the_same_where_it_ends_early(
    text: str, asked: tuple[Problem, Task], every: int
) -> None:
    problem, task = asked
    probe = Probe(problem=problem, said="3 + 1 = 4.", seed=0)
    obedient, heedless = (
        conclude([probe], Reciting(text, every, obeys), task, sampling=Sampling(), samples=1) for obeys in (True, False)
    )
    assert obedient == heedless


@settings(deadline=None, max_examples=300)
@given(text=TEXTS, asked=ASKED)
def test_nothing_that_follows_changes_what_was_settled(text: str, asked: tuple[Problem, Task]) -> None:
    problem, task = asked
    whole = concluded(text, problem, task, finished=True)[1].answer
    ends = [end for end in range(len(text)) if settled(problem, text[:end], task)]
    for end in ends[:1]:
        assert concluded(text[:end], problem, task, finished=False)[1].answer == whole


def test_a_conclusion_that_is_left_behind_is_settled() -> None:
    assert not settled(NUMBER, "3 + 1 = 4.\nThe answer is 4.", Numeric())
    assert not settled(NUMBER, "3 + 1 = 4.\nThe answer is 4\nSo", Numeric())
    assert settled(NUMBER, "3 + 1 = 4.\nThe answer is 4.\nSo", Numeric())
    assert settled(NUMBER, "3 + 1 = 4.\nThe answer is 4\nSo\nit", Numeric())
