"""Trainings of a tiny student by other objectives than its own tokens: what moves, and pairs that must agree."""

import random
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from lesson_kit import lesson

from elad.asks import Prompt
from elad.errors import StudentError
from elad.kinds import build
from elad.learning import Feed, Guide, Lesson, LossSum, Need, Objective, Targets, Write
from elad.packing.sight import Sight
from elad.protocols import Fit
from elad.records import Example, Message
from elad.settings import Training
from elad.students.transformers import Lora, Transformers, TransformersStudent
from elad.training.batches import Item, encoded, packed, referred
from elad.training.feeds.on_policy import OnPolicy
from elad.training.rows import Row
from elad.training.trainer import step_loss

EIGHT = Training(epochs=4, batch_size=8, micro_batch_size=8, learning_rate=0.01)
STILL = Training(epochs=3, batch_size=16, micro_batch_size=4, learning_rate=1e-12)
"""Nothing moves: each epoch, which is one step, must tell the same loss."""
EXAMPLES = [
    Example(
        problem_id=str(i),
        messages=(Message(role="user", content=f"{i} + 1?"),),
        target=f"{i} + 1 = {i + 1}.\n" * (1 + 2 * (i % 2)) + f"The answer is {i + 1}.",
        rejected=f"The answer is {i}." * (1 + i % 3),
        source="warmup",
    )
    for i in range(16)
]


def fit(student: TransformersStudent, taught: Lesson, folder: Path) -> Fit:
    return student.fit(EXAMPLES, taught, folder=folder)


def tiny(folder: Path, lora: Lora | None = None) -> TransformersStudent:
    return Transformers(model=str(folder), dtype="float32", lora=lora).open()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that ends its answers."""
    return trained(tmp_path_factory.mktemp("student"), seed=0, epochs=12)


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Guide:
    """Another model that has learnt a little more."""
    return tiny(trained(tmp_path_factory.mktemp("guide"), seed=1, epochs=20)).guide()


def trained(folder: Path, *, seed: int, epochs: int) -> Path:
    start = tiny(tiny_model.save(folder / "random", seed=seed))
    fit(start, lesson(replace(EIGHT, epochs=epochs)), folder / "trained")
    return folder / "trained"


def taught(objective: Any, training: Training = EIGHT, **more: Any) -> Lesson:
    return Lesson(
        objective=build("elad.training.objectives", objective, "objective"), training=training, seed=3, **more
    )


def items(student: TransformersStudent, one: Lesson) -> list[Item]:
    made = [encoded(student.tokenizer, example, one) for example in EXAMPLES]
    return referred(student.model, made, 5, sight(student)) if Need.REFERENCE in one.objective.needs else made


def sight(student: TransformersStudent) -> Sight:
    return Sight.of(student.model.config)


def loss(student: TransformersStudent, one: Lesson, parts: list[list[Item]]) -> float:
    """The mean over all that is counted in some micro-batches."""
    with torch.no_grad():
        sums = [step_loss(student.model, packed(part, one), one, sight(student)) for part in parts]
    return sum(float(each.total) for each in sums) / sum(int(each.count) for each in sums)


GUIDED = [
    {"kind": "forward_kl"},
    {"kind": "jsd", "beta": 0.3},
    {"kind": "dac_kl", "learned": True},
    {"kind": "weighted", "of": {"reverse_kl": 1.0, "soft": {"weight": 0.5, "tau": 1.5}}},
]


@pytest.mark.parametrize("objective", GUIDED, ids=lambda one: one["kind"])
def test_a_student_comes_nearer_to_its_guide(
    folder: Path, guide: Guide, tmp_path: Path, objective: dict[str, Any]
) -> None:
    start, measure = tiny(folder), taught("forward_kl", guide=guide)
    before = loss(start, measure, [items(start, measure)])
    done = fit(start, taught(objective, guide=guide), tmp_path)
    assert isinstance(done.student, TransformersStudent)
    assert loss(done.student, measure, [items(start, measure)]) < 0.7 * before
    assert done.summary["losses"][-1] < done.summary["losses"][0]


def test_adapters_learn_from_the_same_loss(folder: Path, guide: Guide, tmp_path: Path) -> None:
    measure = taught("forward_kl", STILL, guide=guide)
    still = [fit(tiny(folder, lora), measure, tmp_path / f"{lora}").summary["losses"] for lora in (None, Lora())]
    assert still[1] == pytest.approx(still[0], rel=1e-4)
    done = fit(tiny(folder, Lora()), taught("forward_kl", replace(EIGHT, epochs=10), guide=guide), tmp_path / "moving")
    assert done.summary["losses"][-1] < 0.95 * still[0][0]


def test_the_better_of_a_pair_gains_and_both_begin_even(folder: Path, tmp_path: Path) -> None:
    start, one = tiny(folder), taught({"kind": "dpo", "beta": 0.5}, replace(EIGHT, learning_rate=0.003))
    pairs = items(start, one)
    assert loss(start, one, [pairs]) == pytest.approx(log(2), rel=1e-4)
    student = fit(start, one, tmp_path).student
    assert isinstance(student, TransformersStudent)
    assert loss(student, one, [pairs]) < 0.4
    for new, old in zip(items(student, one), pairs, strict=True):
        better, worse = (gain(*both) for both in zip(new.rows, old.rows, strict=True))
        assert better > worse


def gain(new: Row, old: Row) -> float:
    """By how much a row's log-probability rose."""
    assert new.reference is not None
    assert old.reference is not None
    return new.reference - old.reference


@pytest.mark.parametrize("lora", [None, Lora()], ids=["full", "lora"])
def test_a_pair_costs_log_2_in_every_epoch_while_nothing_moves(folder: Path, tmp_path: Path, lora: Lora | None) -> None:
    done = fit(tiny(folder, lora), taught("dpo", STILL), tmp_path)
    assert done.summary["losses"] == pytest.approx([log(2)] * 3, abs=1e-4)
    assert done.summary["unpaired"] == 0


def test_the_guide_is_heard_in_every_epoch_and_another_one_says_something_else(
    folder: Path, guide: Guide, tmp_path: Path
) -> None:
    told = [fit(tiny(folder), taught("forward_kl", STILL, guide=one), tmp_path / str(i)).summary["losses"]
            for i, one in enumerate([guide, tiny(folder).guide()])]  # fmt: skip
    assert told[0] == pytest.approx([told[0][0]] * 3, rel=1e-4)
    assert told[0][0] > 0.05
    assert told[1] == pytest.approx([0.0] * 3, abs=1e-5)


@pytest.mark.parametrize("objective", ["forward_kl", "dpo"])
def test_what_is_known_of_a_row_follows_it_whatever_the_order_and_the_micro_batch(
    folder: Path, guide: Guide, objective: str
) -> None:
    student, one = tiny(folder), taught(objective, guide=guide)
    rows = [replace(item, rows=tuple(moved(row) for row in item.rows)) for item in items(student, one)]
    whole = loss(student, one, [rows])
    for size in (1, 3, 8):
        order = random.Random(size).sample(rows, len(rows))
        assert loss(student, one, [order[at : at + size] for at in range(0, len(order), size)]) == pytest.approx(
            whole, rel=1e-4
        )


def moved(row: Row) -> Row:
    """A row whose log-probability was another one before, so that it matters whose it is."""
    return row if row.reference is None else replace(row, reference=row.reference - 0.1 * len(row))


@pytest.mark.parametrize("objective", [*GUIDED[::2], {"kind": "dpo"}], ids=lambda one: one["kind"])
def test_eight_at_once_are_eight_accumulated(
    folder: Path, guide: Guide, tmp_path: Path, objective: dict[str, Any]
) -> None:
    probe = (Prompt(messages=(Message(role="user", content="9 + 1?"),)), "9 + 1 = 10.\nThe answer is 10.")
    told, scores = [], []
    for micro in (8, 4, 1):
        training = replace(EIGHT, micro_batch_size=micro, learning_rate=0.003)
        done = fit(tiny(folder), taught(objective, training, guide=guide), tmp_path / str(micro))
        told.append(done.summary["losses"])
        scores.append(done.student.score([probe])[0])
    for losses, score in zip(told, scores, strict=True):
        assert losses == pytest.approx(told[0], rel=2e-3, abs=1e-5)
        assert score == pytest.approx(scores[0], abs=5e-3)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A feed that keeps what came out of another, and when."""

    inner: Feed
    fed: list[Example] = field(default_factory=list[Example])
    when: list[float] = field(default_factory=list[float])

    def __call__(self, examples: Any, write: Write, done: float, rng: random.Random) -> list[Example]:
        made = self.inner(examples, write, done, rng)
        self.fed.extend(made)
        self.when.append(done)
        return made


def test_a_student_comes_nearer_to_its_guide_on_its_own_answers(folder: Path, guide: Guide, tmp_path: Path) -> None:
    start, feed = tiny(folder), Watched(inner=OnPolicy(share=0.75, max_tokens=40))
    done = fit(start, taught("reverse_kl", guide=guide, feed=feed), tmp_path)
    own = [one for one in feed.fed if one.source == "student"]
    assert len(own) > 0.3 * len(feed.fed)
    assert {one.problem_id for one in feed.fed} == {one.problem_id for one in EXAMPLES}
    measure = taught("reverse_kl", guide=guide)
    answers = [encoded(start.tokenizer, one, measure) for one in own[:12]]
    assert isinstance(done.student, TransformersStudent)
    assert loss(done.student, measure, [answers]) < 0.6 * loss(start, measure, [answers])


def test_eight_at_once_are_eight_accumulated_though_the_student_writes_them(
    folder: Path, guide: Guide, tmp_path: Path
) -> None:
    feeds = [Watched(inner=OnPolicy(share=0.75, max_tokens=40)) for _ in range(2)]
    losses = [
        fit(
            tiny(folder),
            taught("reverse_kl", replace(EIGHT, epochs=2, micro_batch_size=micro), guide=guide, feed=feed),
            tmp_path / str(micro),
        ).summary["losses"]
        for micro, feed in zip((8, 1), feeds, strict=True)
    ]
    assert feeds[0].fed == feeds[1].fed
    assert feeds[0].when == [0.0, 0.25, 0.5, 0.75]  # written by the student as it is at each step
    assert feeds[1].when == [when for when in feeds[0].when for _ in range(8)]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


def test_a_guide_with_another_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tiny(folder)
    other.tokenizer.add_tokens(["<|another|>"])
    with pytest.raises(StudentError, match=r"guide: its tokenizer is not the student's \(1 of \d+ and \d+ entries"):
        fit(tiny(folder), taught("forward_kl", guide=other.guide()), tmp_path)


@pytest.mark.parametrize("padded", ["student", "guide"])
def test_vocabularies_of_two_sizes_are_told_and_trimmed(folder: Path, tmp_path: Path, padded: str) -> None:
    both = {"student": tiny(folder), "guide": tiny(folder)}
    one = taught("forward_kl", STILL, guide=both["guide"].guide())
    assert "vocabularies" not in fit(both["student"], one, tmp_path / "alike").summary
    size = len(both[padded].tokenizer)
    both[padded].model.resize_token_embeddings(size + 24, mean_resizing=False)
    done = fit(both["student"], one, tmp_path / "apart")
    assert done.summary["vocabularies"] == {"student": size, "guide": size} | {padded: size + 24}
    assert done.summary["losses"] == pytest.approx([0.0] * 3, abs=1e-5)


def test_what_a_loss_is_the_sum_of_is_told_by_epoch(folder: Path, guide: Guide, tmp_path: Path) -> None:
    summary = fit(tiny(folder), taught(GUIDED[-1], replace(EIGHT, micro_batch_size=2), guide=guide), tmp_path).summary
    assert [{*parts} for parts in summary["parts"]] == [{"reverse_kl", "soft"}] * 4
    assert [sum(parts.values()) for parts in summary["parts"]] == pytest.approx(summary["losses"], rel=1e-4)


def test_a_learnt_band_is_drawn_by_the_seed_and_matters(folder: Path, guide: Guide, tmp_path: Path) -> None:
    one = taught({"kind": "dac_kl", "lower": 0.9, "learned": True}, replace(EIGHT, epochs=8), guide=guide)
    twice = [fit(tiny(folder), one, tmp_path / str(i)).student.id for i in range(2)]
    assert twice[0] == twice[1]
    fixed = taught({"kind": "dac_kl", "lower": 0.9}, replace(EIGHT, epochs=8), guide=guide)
    assert fit(tiny(folder), fixed, tmp_path / "fixed").student.id != twice[0]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An objective whose weights of its own are kept beyond the training: those that are begun last, and learn."""

    inner: Any
    weights: list[torch.Tensor] = field(default_factory=list[torch.Tensor])

    needs = frozenset({Need.GUIDE})

    def begun(self, seed: int, device: torch.device) -> tuple[Objective, list[torch.Tensor]]:
        ready, weights = self.inner.begun(seed, device)
        self.weights[:] = weights
        return ready, weights

    def __call__(self, logits_NV: torch.Tensor, targets: Targets) -> LossSum:
        raise AssertionError("it is begun first")


def test_an_objectives_own_weights_learn_with_the_student_and_eight_at_once_as_eight_accumulated(
    folder: Path, guide: Guide, tmp_path: Path
) -> None:
    ends: list[list[torch.Tensor]] = []
    for training in (replace(STILL, epochs=1), EIGHT, replace(EIGHT, micro_batch_size=1)):
        one = taught({"kind": "dac_kl", "lower": 0.9, "learned": True}, training, guide=guide)
        kept = Kept(inner=one.objective)
        fit(tiny(folder), replace(one, objective=kept), tmp_path / str(len(ends)))
        ends.append(kept.weights)
    for start, eight, ones in zip(*ends, strict=True):
        assert (eight - start).abs().max() > 1e-3
        torch.testing.assert_close(ones, eight, rtol=0.05, atol=2e-3)
