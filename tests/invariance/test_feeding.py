"""A training that is fed is the same whenever it is done again: one begun is never half kept, but done anew."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import tiny_model

from elad.learning import AdaptiveFeed, Feed, Lesson, Write
from elad.protocols import Fit, Generation, Prompt
from elad.records import Example, Message, Sampling
from elad.settings import Training
from elad.students.transformers import Transformers, TransformersStudent
from elad.training.feeds import off_policy
from elad.training.feeds.off_policy import OffPolicy
from elad.training.feeds.on_policy import OnPolicy
from elad.training.objectives.sft import Sft

TRAINING = Training(
    epochs=3, batch_size=4, micro_batch_size=2, learning_rate=0.02, validation_share=0.25, patience=3
)  # fmt: skip
FEEDS = [OnPolicy(share=0.5, max_tokens=12), OffPolicy(share=0.6, tolerance=0.0, capacity=3, max_tokens=12)]


def examples(count: int) -> list[Example]:
    return [
        Example(
            problem_id=str(i),
            messages=(Message(role="user", content=f"{i} + 1?"),),
            target=f"{i} + 1 = {i + 1}.\nThe answer is {i + 1}.",
            source="repaired",
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


def taught(folder: Path, kept: Path, feed: Feed | AdaptiveFeed | None) -> Fit:
    start = Transformers(model=str(folder), dtype="float32", lora=None).open()
    lesson = Lesson(objective=Sft(), training=TRAINING, seed=5, feed=feed)
    return start.fit(examples(12), lesson, folder=kept)


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a student was cut off in counts as an answer: one of random weights hardly ever ends."""
    generate = TransformersStudent.generate

    def ended(self: TransformersStudent, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        return [replace(said, finished=True) for said in generate(self, prompts, sampling)]

    monkeypatch.setattr(TransformersStudent, "generate", ended)


@pytest.mark.usefixtures("talkative")
@pytest.mark.parametrize("feed", FEEDS, ids=["on_policy", "off_policy"])
def test_done_again_it_gives_the_same_student(folder: Path, tmp_path: Path, feed: Feed | AdaptiveFeed) -> None:
    once, again = (taught(folder, tmp_path / name, feed) for name in ("once", "again"))
    plain = taught(folder, tmp_path / "plain", None)
    assert once.student.id == again.student.id
    assert once.summary == again.summary
    assert plain.student.id != once.student.id


def test_each_epochs_validation_loss_reaches_the_feed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    dones: list[float] = []

    class Listening(off_policy.Replaying):
        def __call__(self, examples: Sequence[Example], write: Write, done: float, rng: Random) -> list[Example]:
            dones.append(done)
            return list(examples)

        def validated(self, loss: float) -> None:
            told.append(loss)

    monkeypatch.setattr(off_policy, "Replaying", Listening)
    summary = taught(folder, tmp_path, OffPolicy()).summary
    assert [round(loss, 6) for loss in told] == summary["validation_losses"]
    assert len(told) == 3
    assert dones == sorted(dones)
    assert dones[0] == 0 < dones[-1] < 1
