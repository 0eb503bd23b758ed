"""Scores of whole questions against their formulas, on a student whose every answer is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, inf, log, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.abilities import Entropies
from elad.asks import Generation, Prompt
from elad.errors import ConfigError
from elad.experiment import Experiment
from elad.protocols import Fit, Task, Uncertainty
from elad.records import Chain, Problem, Sampling, StepScores, derive_seed
from elad.students.served import VllmStudent
from elad.tasks.chains import make_chain
from elad.tasks.choice import Choice
from elad.tasks.numeric import Numeric
from elad.tasks.text import Text
from elad.uncertainty.disagreement import Disagreement
from elad.uncertainty.entropy import Entropy
from elad.uncertainty.least_confidence import LeastConfidence
from elad.uncertainty.margin import Margin
from elad.uncertainty.perplexity import Perplexity
from elad.uncertainty.self_confidence import SelfConfidence
from elad.uncertainty.self_consistency import SelfConsistency
from elad.uncertainty.token_entropy import TokenEntropy
from elad.uncertainty.variance import Variance

CHAIN = "2 + 3 = 5.\nThe answer is 5."


@dataclass
class Scripted:
    """A student whose k-th sample ends in the k-th answer, and that gives tokens the probabilities it is told to."""

    answers: Sequence[str | None] = ()
    weighs: Callable[[Prompt, str], tuple[float, ...]] = lambda prompt, target: (-1.0,)
    wavers: Callable[[Prompt, str], tuple[float, ...]] = lambda prompt, target: (0.5,)
    asked: list[tuple[Sequence[Prompt], Sampling]] = field(default_factory=list[Any])
    scored: list[tuple[Prompt, str]] = field(default_factory=list[Any])
    id: str = "scripted"
    context: int | None = None

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        self.asked.append((prompts, sampling))
        place = {derive_seed(7, "q", "answers", k): k for k in range(len(self.answers))}
        said = [self.answers[place[prompt.seed]] for prompt in prompts]
        texts = ["Who knows?" if answer is None else f"So.\nThe answer is {answer}." for answer in said]
        return [Generation(text=text, finished=True, tokens=1) for text in texts]

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        self.scored += pairs
        return [self.weighs(prompt, target) for prompt, target in pairs]

    def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        return [self.wavers(prompt, target) for prompt, target in pairs]

    def fit(self, *_: object, **__: object) -> Fit:
        raise NotImplementedError


def draft(text: str, task: Task, problem: Problem) -> tuple[Problem, Chain]:
    sampling = Sampling(max_tokens=33)
    return problem, make_chain(
        text, problem, task, finished=True, sampling=sampling, seed=0, tokens=9, most_steps=12
    )  # fmt: skip


def one(uncertainty: Uncertainty, student: Scripted, text: str = CHAIN, question: str = "2 and 3?") -> StepScores:
    task = Numeric()
    (scores,) = uncertainty([draft(text, task, Problem(id="q", question=question))], student, task, 7)
    return scores


def sampled(kind: Any, *answers: str | None, text: str = CHAIN) -> float:
    return one(kind(samples=len(answers)), Scripted(answers), text).aggregate


@pytest.mark.parametrize(
    ("answers", "entropy", "margin", "consistency", "disagreement"),
    [
        (("5", "5.0", "5", "5"), 0, 0, 0, 0),
        (("5", "5", "5", "8"), -(0.75 * log(0.75) + 0.25 * log(0.25)) / log(4), 0.5, 0.25, 0.25),
        (("8", "8", "5", "5"), 0.5, 1, 0.5, 0.5),
        (("8", "8", "8", "8"), 0, 0, 0, 1),
        (("1", "2", "3", "4"), 1, 1, 0.75, 1),
        ((None, None, None, None), 1, 1, 1, 1),
        (("5", "5", None, None), 0.75, 0.75, 0.5, 0.5),
    ],
)
def test_scores_of_the_same_answers(
    answers: tuple[str | None, ...], entropy: float, margin: float, consistency: float, disagreement: float
) -> None:
    assert sampled(Entropy, *answers) == pytest.approx(entropy)
    assert sampled(Margin, *answers) == pytest.approx(margin)
    assert sampled(SelfConsistency, *answers) == consistency
    assert sampled(Disagreement, *answers) == disagreement


@given(st.lists(st.sampled_from(["5", "7", "9", None]), min_size=2, max_size=8))
def test_scores_of_the_same_answers_go_together(answers: list[str | None]) -> None:
    entropy, margin, inconsistent = (sampled(kind, *answers) for kind in (Entropy, Margin, SelfConsistency))
    alike = len(set(answers)) == 1 and None not in answers
    assert alike == (entropy == 0) == (inconsistent == 0) == (margin == 0)
    assert sampled(Disagreement, *answers) >= inconsistent
    assert (entropy == pytest.approx(1)) == (len(set(answers) - {None}) + answers.count(None) == len(answers))


def test_a_chain_without_an_answer_disagrees_with_all() -> None:
    assert sampled(Disagreement, "5", "5", text="Who knows?") == 1
    assert sampled(Entropy, "5", "5", text="Who knows?") == 0


def test_all_of_them_draw_the_same() -> None:
    students = [Scripted(("5", "5", "8")) for _ in range(5)]
    for kind, student in zip((Entropy, Margin, SelfConsistency, Disagreement, Variance), students, strict=True):
        scores = one(kind(samples=3, temperature=0.9), student)
        assert scores.detail == {"answers": ["5", "5", "8"]}
        assert (scores.parts, scores.steps, scores.confidence) == ({}, (), pytest.approx(2 / 3))
    assert all(student.asked == students[0].asked for student in students)
    ((prompts, sampling),) = students[0].asked
    assert [prompt.prefix for prompt in prompts] == ["", "", ""]
    assert (sampling.temperature, sampling.max_tokens) == (0.9, 33)


def test_variance_is_in_units_of_the_question_s_numbers() -> None:
    # By hand: 5 and 15 over 2 + 3 are 1 and 3, their variance is 2, and 2 / (1 + 2).
    assert sampled(Variance, "5", "15") == pytest.approx(2 / 3)
    assert sampled(Variance, "5", "15", None, None) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert sampled(Variance, "5", "5") == 0
    assert sampled(Variance, "5", None) == 0.5
    assert sampled(Variance, None, None) == 1
    in_words = one(Variance(samples=2), Scripted(("5", "15")), question="Two and three?")
    assert in_words.aggregate == pytest.approx(50 / 51)
    assert sampled(Variance, "1" + "0" * 29, "5") == pytest.approx(1)


@pytest.mark.parametrize("task", [Choice(), Text()])
def test_variance_refuses_answers_that_are_no_numbers(task: Task) -> None:
    with pytest.raises(ConfigError, match=r"^uncertainty\.kind: .*numeric"):
        Variance()([], Scripted(), task, 7)


def test_an_experiment_that_cannot_be_scored_is_refused_when_it_is_built() -> None:
    raw: dict[str, Any] = {
        "data": {"pool": "p.jsonl", "heldout": "h.jsonl"},
        "task": "numeric",
        "student": {"engine": "fake"},
        "teacher": "reference",
        "uncertainty": "variance",
    }
    assert Experiment.of(raw).uncertainty == Variance()
    with pytest.raises(ConfigError, match=r"uncertainty\.kind: `variance` needs answers that are numbers"):
        Experiment.of(raw | {"task": "text"})


@pytest.mark.parametrize("kind", [Entropy, Margin, SelfConsistency, Disagreement, Variance])
@pytest.mark.parametrize(
    ("settings", "key"),
    [({"samples": 1}, "samples"), ({"temperature": 0.0}, "temp"), ({"temperature": nan}, "temp")],
)
def test_settings_that_cannot_be_used_are_named(kind: Any, settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^uncertainty\.{key}"):
        kind(**settings)


def test_perplexity_is_of_all_tokens_and_of_each_step() -> None:
    logs = {"2 + 3 = 5.\n": (-1.0, -3.0), "The answer is 5.": (0.0,)}
    student = Scripted(weighs=lambda prompt, target: logs[target])
    scores = one(Perplexity(), student)
    assert scores.parts == {"perplexity": pytest.approx((1 - exp(-2), 0.0))}
    assert scores.steps == scores.parts["perplexity"]
    assert scores.aggregate == pytest.approx(1 - exp(-4 / 3))
    assert scores.confidence == pytest.approx(exp(-4 / 3))
    assert "".join(target for _, target in student.scored) == CHAIN
    assert [prompt.prefix for prompt, _ in student.scored] == ["", "2 + 3 = 5.\n"]


def test_token_entropy_is_the_mean_over_all_tokens_and_over_those_of_each_step() -> None:
    entropies = {"2 + 3 = 5.\n": (0.1, 0.5), "The answer is 5.": (0.9,)}
    scores = one(TokenEntropy(), Scripted(wavers=lambda prompt, target: entropies[target]))
    assert scores.parts == {"token_entropy": pytest.approx((0.3, 0.9))}
    assert scores.steps == scores.parts["token_entropy"]
    assert (scores.aggregate, scores.confidence) == pytest.approx((0.5, 0.5))


def test_a_student_that_gives_no_entropies_is_named() -> None:
    class Mute:
        id = "mute"

    assert not issubclass(VllmStudent, Entropies)
    with pytest.raises(
        ConfigError, match=r"^uncertainty\.kind: .*mute gives none; take `student\.engine: transformers`"
    ):
        TokenEntropy()([], Mute(), Numeric(), 7)  # pyright: ignore[reportArgumentType] - less than a student


def test_a_step_begins_with_the_space_before_it() -> None:
    student = Scripted()
    one(Perplexity(), student, "First 2 + 3 = 5. Then we stop. The answer is 5.")
    assert [target for _, target in student.scored] == ["First 2 + 3 = 5.", " Then we stop.", " The answer is 5."]


def test_what_follows_the_conclusion_has_no_perplexity() -> None:
    scores = one(Perplexity(), Scripted(), "2 + 3 = 5.\n#### 5\nThe answer is 5.")
    assert scores.steps == pytest.approx((1 - exp(-1), 1 - exp(-1), 0.0))
    assert scores.aggregate == pytest.approx(1 - exp(-1))


def test_least_confidence_is_of_the_answer_alone() -> None:
    student = Scripted(weighs=lambda prompt, target: (log(0.5), log(0.5)))
    scores = one(LeastConfidence(), student, "2 + 3 = 5.\nSo the answer is $5.00")
    assert (scores.aggregate, scores.confidence) == pytest.approx((0.75, 0.25))
    ((prompt, target),) = student.scored
    assert (prompt.prefix, target) == ("2 + 3 = 5.\nThe answer is", " 5.")


def test_self_confidence_is_the_mean_of_what_may_be_said() -> None:
    shares = {" (a": 0.4, " (b": 0.3, " (c": 0.2, " (d": 0.1}
    student = Scripted(weighs=lambda prompt, target: (log(shares[target] / 9),))
    scores = one(SelfConfidence(), student)
    assert scores.confidence == pytest.approx(0.2 / 3 + 0.6 / 3 + 0.4)
    assert scores.aggregate == pytest.approx(1 - scores.confidence)
    assert scores.detail["levels"] == [0.4, 0.3, 0.2, 0.1]
    prompt, _ = student.scored[0]
    assert [message.role for message in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.messages[2].content == CHAIN
    assert "How sure are you" in prompt.messages[3].content


@pytest.mark.parametrize(
    ("task", "choices", "texts"),
    [
        (Numeric(), None, ["The answer is 1.", "The answer is 4."]),
        (Choice(), ("sky", "sea", "sand", "sun"), ["The answer is (A) sky.", "The answer is (D) sun."]),
    ],
)
def test_self_confidence_does_not_weigh_the_answer_once_more(
    task: Task, choices: tuple[str, ...] | None, texts: list[str]
) -> None:
    """As a student does that was trained on chains: where it is made to conclude, it says its answer."""

    def repeats(prompt: Prompt, target: str) -> tuple[float, ...]:
        said = prompt.messages[2].content
        known = said.partition(prompt.prefix)[2] if prompt.prefix in said else " (b"
        return (log(0.9 if known.startswith(target) else 0.01),)

    problem = Problem(id="q", question="Which?", choices=choices)
    drafts = [draft(text, task, problem) for text in texts]
    first, last = SelfConfidence()(drafts, Scripted(weighs=repeats), task, 7)
    assert first.aggregate == last.aggregate == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("impossible", [(), (nan,), (0.5, nan)])
def test_entropies_that_are_no_numbers_are_wholly_uncertain(impossible: tuple[float, ...]) -> None:
    scores = one(TokenEntropy(), Scripted(wavers=lambda prompt, target: impossible))
    assert (scores.aggregate, scores.confidence) == (1.0, 0.0)


@pytest.mark.parametrize("kind", [Perplexity, LeastConfidence, SelfConfidence])
def test_what_cannot_be_weighed_is_wholly_uncertain(kind: Any) -> None:
    for impossible in ((), (-inf,), (nan,)):
        scores = one(kind(), Scripted(weighs=lambda prompt, target, told=impossible: told))
        assert (scores.aggregate, scores.confidence) == (1.0, 0.0)


@pytest.mark.parametrize("kind", [LeastConfidence, SelfConfidence])
def test_a_chain_without_an_answer_is_not_asked_about(kind: Any) -> None:
    student = Scripted()
    assert one(kind(), student, "Who knows?").aggregate == 1
    assert student.scored == []
