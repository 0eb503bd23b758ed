"""What is picked does not depend on how the student's work is cut up."""

from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from loop_kit import experiment

from elad.ledger.events import Kind, Ledger
from elad.loop import run

WAYS: tuple[dict[str, Any], ...] = (
    {"batch_size": 32, "batch_tokens": 65_536, "threads": 1},
    {"batch_size": 1, "batch_tokens": 65_536, "threads": 1},
    {"batch_size": 3, "batch_tokens": 65_536, "threads": 2},
    {"batch_size": 32, "batch_tokens": 700, "threads": 2},
)


def picked(folder: Path, model: Path, *, batch_size: int, batch_tokens: int, threads: int) -> list[Any]:
    """The questions of one round in their order, with their scores."""
    student = {"engine": "transformers", "model": str(model), "dtype": "float32"}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run(
            experiment(
                "rounds.count=1", "drafting.max_tokens=24", "drafting.temperature=1.0", "training.epochs=1",
                student=student | {"batch_size": batch_size, "batch_tokens": batch_tokens},
                uncertainty={"kind": "perplexity"},
            ),
            folder,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    with Ledger(folder, write=False) as ledger:
        picks = [event.payload for event in ledger.events(Kind.PICK)]
    return [(pick["problem_id"], pick["aggregate"]) for pick in picks]


def test_picks_do_not_depend_on_batches_tokens_or_threads(tmp_path: Path) -> None:
    model = tiny_model.save(tmp_path / "model")
    found = [picked(tmp_path / str(place), model, **way) for place, way in enumerate(WAYS)]
    ids, scores = zip(*found[0], strict=True)
    assert len(set(scores)) == len(scores), "scores that tie tell nothing"
    for one in found[1:]:
        assert [id for id, _ in one] == list(ids)
        assert [score for _, score in one] == pytest.approx(scores, abs=1e-4)
