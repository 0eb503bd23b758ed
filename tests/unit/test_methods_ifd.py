"""IFD: the score against its definition, and on a real student."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import exp, inf, nan
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import tiny_model
import torch
from hypothesis import given
from hypothesis import strategies as st
from loop_kit import problems
from room_kit import named

from elad.asks import Prompt
from elad.errors import ConfigError, DataError, StudentError
from elad.experiment import Experiment
from elad.methods.finding import cards, find
from elad.methods.ifd import Experience, Ifd, LengthMatched
from elad.protocols import Selector, Uncertainty
from elad.records import Chain, Problem, Sampling, StepScores
from elad.sample import folder
from elad.students.models import model_folder
from elad.students.transformers import Transformers
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric
from elad.tasks.reading import read

TASK = Numeric()


@dataclass
class Stub:
    """A student whose losses are given: those of a text after its question, and alone."""

    after: Sequence[float]
    alone: Sequence[float]
    asked: list[tuple[Prompt, str]] = field(default_factory=list[tuple[Prompt, str]])

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        self.asked += pairs
        return [tuple(-loss for loss in (self.after if prompt.messages else self.alone)) for prompt, _ in pairs]


def chain(problem: Problem, text: str = "2 + 3 = 5.\nThe answer is 5.") -> Chain:
    return make_chain(
        text, problem, TASK, finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12
    )  # fmt: skip


def drafts(given: Sequence[Problem]) -> list[tuple[Problem, Chain]]:
    return [(problem, chain(problem)) for problem in given]


def told(after: Sequence[float], alone: Sequence[float], **settings: Any) -> StepScores:
    student: Any = Stub(after, alone)
    (scores,) = Ifd(**settings)(drafts(problems(1, 0, "p")), student, TASK, 0)
    return scores


def test_the_published_example() -> None:
    after, alone = [0.5, 0.696, 0.892], [0.261, 0.761, 1.261]
    assert told(after, alone).detail["ifd"] == pytest.approx(0.915, abs=5e-4)
    assert told(after, alone, ratio="perplexities").detail["ifd"] == pytest.approx(exp(0.696) / exp(0.761))


losses = st.lists(st.tuples(st.floats(0, 20), st.floats(0.01, 20)), min_size=1, max_size=9)


@given(losses, st.sampled_from([None, 0.5, 1.0, 2.0]))
def test_the_ratio_is_of_mean_losses_over_the_same_tokens(
    tokens: list[tuple[float, float]], most: float | None
) -> None:
    after, alone = zip(*tokens, strict=True)
    scores = told(after, alone, drop_above=most)
    detail = scores.detail
    assert detail["tokens"] == len(tokens)
    assert (detail["conditioned"], detail["direct"]) == pytest.approx((fmean(after), fmean(alone)))
    assert detail["ifd"] == pytest.approx(fmean(after) / fmean(alone))
    assert scores.confidence == pytest.approx(exp(-fmean(after)))
    dropped = most is not None and detail["ifd"] > most
    assert ("left_out" in detail) == dropped
    assert scores.aggregate == pytest.approx(0 if dropped else detail["ifd"] / (1 + detail["ifd"]))
    assert (scores.parts, scores.steps) == ({}, ())
    by_perplexity = told(after, alone, ratio="perplexities", drop_above=None)
    assert by_perplexity.detail["ifd"] == pytest.approx(exp(fmean(after) - fmean(alone)))


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 50)), min_size=2), st.sampled_from(["losses", "perplexities"])
)
def test_a_higher_ratio_has_a_higher_score_unless_it_is_dropped(pairs: list[tuple[float, float]], ratio: str) -> None:
    found = [told([after], [alone], ratio=ratio) for after, alone in pairs]
    kept = sorted((one.detail["ifd"], one.aggregate) for one in found if "left_out" not in one.detail)
    assert [aggregate for _, aggregate in kept] == sorted(aggregate for _, aggregate in kept)
    assert all(0 <= aggregate <= 0.5 and value <= 1 for value, aggregate in kept)
    assert {one.aggregate for one in found if "left_out" in one.detail} <= {0.0}


@pytest.mark.parametrize(
    ("after", "alone"),
    [
        ([], [1.0]),
        ([], []),
        ([nan], [1.0]),
        ([1.0], [nan]),
        ([inf], [1.0]),
        ([1.0], [inf]),
        ([1.0], [0.0]),
        ([0.0], [0.0]),
    ],
)
def test_what_has_no_ratio_is_taken_last_and_left_out(after: list[float], alone: list[float]) -> None:
    scores = told(after, alone)
    assert (scores.aggregate, scores.confidence, scores.detail) == (0.0, 0.0, {"left_out": "has no score"})


def test_losses_beyond_any_exponential_stay_within_bounds() -> None:
    scores = told([9e4], [1.0], ratio="perplexities", drop_above=None)
    assert 0.5 < scores.aggregate <= 1
    assert told([1.0], [9e4], ratio="perplexities").aggregate == 0


@pytest.mark.parametrize("alone", [[1.0], [1.0, 1.0, 1.0], []])
def test_losses_of_different_tokens_are_refused(alone: list[float]) -> None:
    with pytest.raises(StudentError, match=rf"p0: .* 2 tokens after the question and {len(alone)} without"):
        told([1.0, 1.0], alone)


def test_the_answer_is_asked_for_after_its_question_and_after_the_mark_of_a_reply_alone() -> None:
    (problem,) = problems(1, 0, "p")
    student: Any = Stub([1.0], [1.0])
    Ifd()(drafts([problem]), student, TASK, 0)
    text = f"{problem.rationale}\nThe answer is {problem.answer}."
    assert student.asked == [(Prompt(messages=TASK.messages(problem)), text), (Prompt(messages=()), text)]


def test_the_answer_is_what_the_data_give_or_what_the_student_drafted() -> None:
    (whole,) = problems(1, 0, "p")
    (short, long_, none) = (
        replace(whole, rationale=None),
        replace(whole, answer=None),
        replace(whole, answer=None, rationale=None),
    )
    student: Any = Stub([1.0], [1.0])
    Ifd()(drafts([short, long_]), student, TASK, 0)
    assert [text for _, text in student.asked[:2]] == [f"The answer is {whole.answer}.", whole.rationale]
    with pytest.raises(DataError, match=r"question 'p0' has no answer .*`uncertainty\.answers: own`"):
        Ifd()(drafts([whole, none]), student, TASK, 0)
    own: Any = Stub([1.0], [1.0])
    Ifd(answers="own")(drafts([none]), own, TASK, 0)
    assert {text for _, text in own.asked} == {"2 + 3 = 5.\nThe answer is 5."}
    assert (Ifd().of_drafts, Ifd(answers="own").of_drafts) == (False, True)


def test_scores_are_those_of_padded_batches_and_of_texts_alone(tmp_path: Path) -> None:
    """Padding doubles as the end of text, and rows are of many lengths."""
    student = Transformers(model=str(tiny_model.save(tmp_path, context=1024)), dtype="float32").open()
    given = [
        replace(one, rationale="\n".join([one.rationale or ""] * (1 + place % 4)))
        for place, one in enumerate(problems(9, 4, "p"))
    ]
    found = Ifd(drop_above=None)(drafts(given), student, TASK, 0)
    for problem, scores in zip(given, found, strict=True):
        (alone,) = Ifd(drop_above=None)(drafts([problem]), student, TASK, 0)
        assert scores.detail == pytest.approx(alone.detail, abs=1e-4)
    expected = [padded_losses(student, given, marked=marked) for marked in (False, True)]
    assert [one.detail["conditioned"] for one in found] == pytest.approx(expected[0], abs=1e-4)
    assert [one.detail["direct"] for one in found] == pytest.approx(expected[1], abs=1e-4)


def padded_losses(student: Any, given: Sequence[Problem], *, marked: bool) -> list[float]:
    """Mean losses of the answers by one plain call over all rows, padded on the right."""
    tokenizer, rows = student.tokenizer, list[tuple[list[int], int]]()
    for problem in given:
        turns = [{"role": one.role, "content": one.content} for one in TASK.messages(problem)]
        whole = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        before = tokenizer("<|assistant|>" if marked else whole)["input_ids"]
        said = tokenizer(f"{problem.rationale}\nThe answer is {problem.answer}.")["input_ids"]
        rows.append((before + said, len(before)))
    width = max(len(ids) for ids, _ in rows)
    ids_BT = torch.tensor([ids + [tokenizer.pad_token_id] * (width - len(ids)) for ids, _ in rows])
    mask_BT = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in rows])
    with torch.inference_mode():
        logs_BTV = student.model(input_ids=ids_BT, attention_mask=mask_BT).logits.double().log_softmax(-1)
    return [
        -fmean(float(logs_BTV[row, at - 1, ids[at]]) for at in range(start, len(ids)))
        for row, (ids, start) in enumerate(rows)
    ]


@pytest.mark.model
def test_another_questions_words_make_most_answers_harder_to_say() -> None:
    try:
        student = Transformers(model=str(model_folder("smollm2-135m"))).open()
    except StudentError as error:
        pytest.skip(f"needs smollm2-135m: {error}")
    given = list(read("warmup.jsonl", columns={}, limit=40, base=folder()))
    turned = [*given[1:], given[0]]
    mixed = [replace(one, question=other.question) for one, other in zip(given, turned, strict=True)]
    own, others = (Ifd(drop_above=None)(drafts(rows), student, TASK, 0) for rows in (given, mixed))
    raised = sum(other.detail["ifd"] > one.detail["ifd"] for one, other in zip(own, others, strict=True))
    assert raised >= 0.75 * len(given)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Ifd(drop_above=0), r"uncertainty\.drop_above"),
        (lambda: Ifd(drop_above=nan), r"uncertainty\.drop_above"),
        (lambda: Experience(clusters=0), r"selector\.experience\.clusters"),
        (lambda: Experience(band=(75.0, 25.0)), r"selector\.experience\.band"),
        (lambda: Experience(band=(0.0, 101.0)), r"selector\.experience\.band"),
        (lambda: LengthMatched(strata=0), r"selector\.strata"),
    ],
)
def test_settings_that_cannot_be_used_are_named(make: Callable[[], Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        make()


def test_the_method_is_listed_and_found_by_the_suites() -> None:
    (card,) = [card for card in cards() if card["name"] == "ifd"]
    assert card["evidence"].startswith("paper-faithful")
    assert "elad.methods.ifd:Ifd" in named("elad.uncertainty", Uncertainty)
    assert {"elad.methods.ifd:Cherry", "elad.methods.ifd:LengthMatched"} < {*named("elad.selection", Selector)}
    one = find("ifd")
    assert Experiment.of(one.resolved(), base=one.base) == one
