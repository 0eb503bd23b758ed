"""What every score must keep: one in `elad.uncertainty`, or in a method's file, is tested by being there."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

import pytest
import tiny_model
import torch
from room_kit import check_settings, named, parsed

from elad.asks import Generation, Prompt
from elad.errors import ConfigError
from elad.kinds import build
from elad.learning import Lesson
from elad.protocols import Fit, Student, Suited, Task, Uncertainty
from elad.records import Chain, Example, Problem, Sampling, StepScores, from_json, to_json
from elad.settings import Training
from elad.students.fake import Fake
from elad.students.transformers import Transformers
from elad.tasks.chains import make_chain
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.tasks.text import Text
from elad.training.objectives.sft import Sft
from elad.uncertainty.elad import Elad

ROOM = "elad.uncertainty"
SEED = 11


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A scorer of entailment for the tests: the share of the first text's letters that the second has."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [len({*first} & {*second}) / len({*first}) for first, second in pairs]


VARIANTS: dict[str, list[dict[str, Any]]] = {
    "elad": [
        {"samples": 2},
        {"weight": 1.0, "soft": True, "settled": True, "aggregate": "max"},
        {"weight": 1.0, "intra": "leave_one_out"},
        {"weight": 0.0, "samples": 3},
        {"weight": 0.0, "inter": "entailment", "nli": Overlap(), "samples": 2},
    ],
    "elad.methods.ifd:Ifd": [{}, {"ratio": "perplexities", "answers": "own", "drop_above": None}],
}
"""Settings of a kind that differ in what is computed. A kind that is not here is tested as it comes."""
CASES = [(kind, settings) for kind in named(ROOM, Uncertainty) for settings in VARIANTS.get(kind, [{}])]
every_score = pytest.mark.parametrize(
    "uncertainty",
    [build(ROOM, {"kind": kind, **settings}, "uncertainty") for kind, settings in CASES],
    ids=[" ".join([kind, *map(str, settings)]) for kind, settings in CASES],
)


class Through:
    """The fake student, and the seeds of all that was drawn from it."""

    id = "through"
    context = None

    def __init__(self) -> None:
        self.drawn: list[int] = []
        self._inner = Fake(skill=0.5).open()

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        self.drawn += [prompt.seed for prompt in prompts if sampling.temperature]
        return self._inner.generate(prompts, sampling, until)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        return self._inner.score(pairs)

    def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        return self._inner.entropies(pairs)

    def fit(self, *_: object, **__: object) -> Fit:
        raise NotImplementedError


class Setting(NamedTuple):
    """Chains of one task."""

    task: Task
    drafts: list[tuple[Problem, Chain]]


def drafted(task: Task, problem: Problem, text: str) -> tuple[Problem, Chain]:
    chain = make_chain(
        text, problem, task, finished=True, sampling=Sampling(max_tokens=24), seed=0, tokens=9, most_steps=12
    )  # fmt: skip
    return problem, chain


def numeric() -> Setting:
    task = Numeric()
    texts = [
        "4 + 5 = 9.\nThe answer is 9.",
        "The answer is 9.",  # one step
        "4 + 5 = 9. 9 - 2 = 7.",  # no conclusion
        "I cannot help with that.",
        "",  # nothing at all
        "4 + 5 = 9.\n#### 9\nThe answer is 9.",
        "One. Two. Three.\nFour.\nThe answer is 12.",
    ]
    problems = [
        Problem(id=f"n{i}", question=f"Tom has 4 pears. He gets {i + 5}. How many now?", answer="9")
        for i in range(len(texts))
    ]
    return Setting(task, [drafted(task, problem, text) for problem, text in zip(problems, texts, strict=True)])


def choice() -> Setting:
    task = Choice()
    texts = ["It is blue.\nThe answer is (A) sky.", "The answer is (B) sea.", "Perhaps neither of them."]
    options = ("sky", "sea", "sand")
    problems = [Problem(id=f"c{i}", question=f"What is blue? {i}", choices=options, answer="sky") for i in range(3)]
    return Setting(task, [drafted(task, problem, text) for problem, text in zip(problems, texts, strict=True)])


def words() -> Setting:
    task = Text()
    texts = ["A cat says so.\nThe answer is meow.", "The answer is moo.", "No animal comes to mind."]
    problems = [Problem(id=f"t{i}", question=f"What does animal {i} say?", answer="moo") for i in range(3)]
    return Setting(task, [drafted(task, problem, text) for problem, text in zip(problems, texts, strict=True)])


SETTINGS = {"numeric": numeric(), "choice": choice(), "text": words()}
every_task = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Student]:
    """A model that has learnt the first draft of each task, so that what it draws has answers, of several kinds.

    One thread, since waiting for others takes longer than what there is to compute.
    """
    folder, threads = tiny_model.save(tmp_path_factory.mktemp("tiny"), context=1024), torch.get_num_threads()
    torch.set_num_threads(1)
    raw = Transformers(model=str(folder), dtype="float32", batch_size=64, lora=None).open()
    firsts = [(setting.task, *setting.drafts[0]) for setting in SETTINGS.values()]
    rows = [
        Example(problem_id=problem.id, messages=task.messages(problem), target=chain.text, source="warmup")
        for task, problem, chain in firsts
    ]
    training = Training(epochs=50, batch_size=4, micro_batch_size=4, learning_rate=0.01)
    lesson = Lesson(objective=Sft(), training=training, seed=SEED)
    yield raw.fit(rows, lesson, folder=tmp_path_factory.mktemp("learnt")).student
    torch.set_num_threads(threads)


@pytest.fixture(params=["fake", "tiny"])
def student(request: pytest.FixtureRequest) -> Student:
    return Fake(skill=0.5).open() if request.param == "fake" else request.getfixturevalue("tiny")


def goes_with(uncertainty: Uncertainty, task: Task) -> bool:
    """Whether it scores this task; if not, that it says so when it is called all the same."""
    try:
        if isinstance(uncertainty, Suited):
            uncertainty.suits(task)
    except ConfigError as error:
        with pytest.raises(ConfigError, match=str(error).split("(")[0]):
            uncertainty([], Fake().open(), task, SEED)
        return False
    return True


def alike(first: StepScores, second: StepScores) -> bool:
    """Equal up to the rounding of a model's arithmetic, in what was drawn and concluded on the way too."""
    return near(to_json(first), to_json(second))


def near(one: Any, other: Any) -> bool:
    """Whether JSON values are equal but for 2e-4 in each number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(near, one, other))
    return one == (pytest.approx(other, abs=2e-4) if isinstance(other, float) else other)


@every_task
def test_the_small_model_concludes(setting: Setting, tiny: Student) -> None:
    found = Elad(samples=5)(setting.drafts, tiny, setting.task, SEED)
    assert min(value for scores in found for value in scores.parts.get("inter", (1.0,))) < 1
    drawn = {answer for scores in found for row in scores.detail.get("sampled", ()) for answer in row}
    assert len(drawn) > 1


@every_score
@every_task
def test_a_score_for_each_draft_within_its_bounds(uncertainty: Uncertainty, setting: Setting, student: Student) -> None:
    if not goes_with(uncertainty, setting.task):
        return
    found = uncertainty(setting.drafts, student, setting.task, SEED)
    assert len(found) == len(setting.drafts)
    for scores, (_, chain) in zip(found, setting.drafts, strict=True):
        steps = [*scores.steps, *(value for part in scores.parts.values() for value in part)]
        for value in (*steps, scores.aggregate, scores.confidence):
            assert isfinite(value)
            assert 0 <= value <= 1
        assert len(scores.steps) in (0, len(chain.steps))
        assert {len(part) for part in scores.parts.values()} <= {len(chain.steps)}
        assert bool(scores.parts) == bool(scores.steps)
        assert from_json(StepScores, to_json(scores)) == scores


@every_score
@every_task
def test_neither_order_nor_company_matters(uncertainty: Uncertainty, setting: Setting, student: Student) -> None:
    if not goes_with(uncertainty, setting.task):
        return
    whole = uncertainty(setting.drafts, student, setting.task, SEED)
    assert uncertainty(setting.drafts, student, setting.task, SEED) == whole
    order = Random(3).sample(range(len(whole)), len(whole))
    mixed = uncertainty([setting.drafts[place] for place in order], student, setting.task, SEED)
    alone = [uncertainty([draft], student, setting.task, SEED)[0] for draft in setting.drafts]
    if isinstance(student, type(Fake().open())):
        assert mixed == [whole[place] for place in order]
        assert alone == whole
    assert all(alike(one, whole[place]) for one, place in zip(mixed, order, strict=True))
    assert all(alike(one, other) for one, other in zip(alone, whole, strict=True))


@every_score
def test_equal_questions_of_two_names_have_scores_of_their_own(uncertainty: Uncertainty, student: Student) -> None:
    (problem, chain), *_ = SETTINGS["numeric"].drafts
    twin = Problem(id="twin", question=problem.question, answer=problem.answer)
    found = uncertainty([(problem, chain), (twin, chain), (problem, chain)], student, Numeric(), SEED)
    assert alike(found[0], found[2])
    assert found[0].detail == found[2].detail
    assert uncertainty([(twin, chain)], student, Numeric(), SEED)[0].detail == found[1].detail


@every_score
def test_nothing_to_score_asks_nothing(uncertainty: Uncertainty) -> None:
    assert uncertainty([], Fake().open(), Numeric(), SEED) == []


@every_score
def test_what_does_not_fit_the_context_is_wholly_uncertain_or_left_out(uncertainty: Uncertainty) -> None:
    """A score that leaves a question out says why, and has it picked last."""
    task = Numeric()
    draft = drafted(task, Problem(id="long", question="4 and 5? " * 40, answer="9"), "4 + 5 = 9.\nThe answer is 9.")
    (scores,) = uncertainty([draft], Fake(context=200).open(), task, SEED)
    assert scores.confidence == 0
    whole = 0.0 if scores.detail.get("left_out") else of_no_readable_conclusion(uncertainty)
    assert scores.aggregate == pytest.approx(whole)


def of_no_readable_conclusion(uncertainty: Uncertainty) -> float:
    """The score of two steps where nothing that the student says can be read.

    To `elad` what cannot be read is one conclusion: nothing changes it but the chain's own.
    """
    if not isinstance(uncertainty, Elad):
        return 1.0
    changed = (1.0, 1.0) if uncertainty.intra == "leave_one_out" else (0.0, 0.0 if uncertainty.settled else 1.0)
    steps = [uncertainty.weight * intra + (1 - uncertainty.weight) for intra in changed]
    return max(steps) if uncertainty.aggregate == "max" else fmean(steps)


@every_score
@every_task
def test_log_probabilities_that_are_no_numbers_leave_scores_within_their_bounds(
    uncertainty: Uncertainty, setting: Setting
) -> None:
    """As a student in half precision may give them."""

    class Broken(Through):
        def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
            return [(nan,) * len(logs) for logs in super().score(pairs)]

        def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
            return self.score(pairs)

    if not goes_with(uncertainty, setting.task):
        return
    for scores in uncertainty(setting.drafts, Broken(), setting.task, SEED):
        values = [scores.aggregate, scores.confidence, *scores.steps]
        assert all(isfinite(value) and 0 <= value <= 1 for value in values)


@every_score
@every_task
def test_another_seed_draws_anew_and_changes_nothing_where_nothing_is_drawn(
    uncertainty: Uncertainty, setting: Setting
) -> None:
    if not goes_with(uncertainty, setting.task):
        return
    first, other = Through(), Through()
    scores = uncertainty(setting.drafts, first, setting.task, SEED)
    others = uncertainty(setting.drafts, other, setting.task, SEED + 1)
    assert len(first.drawn) == len(other.drawn)
    assert not set(first.drawn) & set(other.drawn)
    assert len(set(first.drawn)) == len(first.drawn)  # no two samples of a call are one
    assert first.drawn or scores == others


@every_score
def test_settings_are_written_down_and_built_again(uncertainty: Uncertainty) -> None:
    in_yaml = getattr(uncertainty, "nli", None) is None  # a scorer of one's own is given in Python
    check_settings(ROOM, "uncertainty", uncertainty, in_yaml=in_yaml)


@pytest.mark.parametrize("kind", named(ROOM, Uncertainty))
def test_the_card_tells_the_evidence(kind: str) -> None:
    card = ast.get_docstring(parsed(ROOM, kind)) or ""
    assert any(label in card for label in ("[S]", "[2]", "[R]", "[D]", "[R/D]"))
