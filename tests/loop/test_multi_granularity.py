"""The method as it comes, on a tiny student beside a tiny guide: corrected, fed, learnt from, and done again alike."""

from pathlib import Path
from typing import Any

import pytest
import tiny_model
from loop_kit import history

from elad.experiment import Data, Experiment
from elad.learning import Lesson
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.methods.multi_granularity import experiment
from elad.records import Example, Problem, Revision, from_json
from elad.settings import Training
from elad.students.transformers import Transformers
from elad.training.objectives.sft import Sft


def problems(first: int, count: int, *, gold: bool) -> tuple[Problem, ...]:
    """Without a gold answer whatever a student concludes is taken: a tiny one is hardly ever right."""
    return tuple(
        Problem(id=str(i), question=f"{i} + 2?", answer=str(i + 2) if gold else None, rationale=f"{i} + 2 = {i + 2}.")
        for i in range(first, first + count)
    )


def schooled(folder: Path, seed: int, mine: Experiment) -> str:
    """A model that has learnt how one concludes."""
    start = Transformers(model=str(tiny_model.save(folder / "raw", seed=seed, context=1024)), lora=None).open()
    rows = [
        Example(
            problem_id=one.id,
            messages=mine.task.messages(one),
            target=f"{one.rationale}\n{mine.task.conclusion(one, one.answer or '')}",
            source="warmup",
        )
        for one in problems(0, 8, gold=True)
    ]
    lesson = Lesson(objective=Sft(), training=Training(epochs=100, batch_size=4, learning_rate=0.01), seed=seed)
    start.fit(rows, lesson, folder=folder / "schooled")
    return str(folder / "schooled")


@pytest.mark.slow
def test_it_runs_to_its_end_and_again_to_the_same(tmp_path: Path) -> None:
    plain = experiment()
    student, guide = (schooled(tmp_path / name, seed, plain) for seed, name in enumerate(("student", "guide")))
    data = Data(pool=problems(20, 12, gold=False), heldout=problems(0, 4, gold=True), warmup=problems(8, 4, gold=True))
    mine = plain.but(
        [
            "rounds.count=1", "rounds.questions=10", "training.epochs=3", "training.max_length=300",
            "drafting.max_tokens=40", "feed.share=0.5", "feed.max_tokens=40", "feed.capacity=4",
        ],
        data=data,
        student={"engine": "transformers", "model": student, "dtype": "float32"},
        guide={"student": {"engine": "transformers", "model": guide, "dtype": "float32"}},
    )  # fmt: skip
    run(mine, tmp_path / "a")
    run(mine, tmp_path / "b")
    assert history(tmp_path / "a") == history(tmp_path / "b")
    revisions, trainings = (told_in(tmp_path / "a", kind) for kind in (Kind.REVISION, Kind.TRAINING))
    corrected = [one for one in (from_json(Revision, payload) for payload in revisions) if one.detail["corrections"]]
    assert corrected
    first, second = trainings
    assert "guide" not in first
    assert second["guide"]
    assert all(set(parts) == {"sft", "dac_kl", "span"} for parts in second["parts"])
    assert len(second["validation_losses"]) >= 1


def told_in(folder: Path, kind: Kind) -> list[Any]:
    with Ledger(folder, write=False) as ledger:
        return [event.payload for event in ledger.events(kind)]
