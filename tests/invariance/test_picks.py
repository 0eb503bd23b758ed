"""What is picked does not depend on how the student's work is cut up."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from loop_kit import experiment, problems

from elad import loop
from elad.experiment import Data
from elad.ledger.events import Event, Kind, Ledger
from elad.loop import run
from elad.outcomes import ParseOutcome
from elad.protocols import Parsed
from elad.records import Problem
from elad.stages import drafting, scoring
from elad.tasks.choice import Choice

WAYS: tuple[dict[str, Any], ...] = (
    {"batch_size": 32, "batch_tokens": 65_536, "threads": 1},
    {"batch_size": 1, "batch_tokens": 65_536, "threads": 1},
    {"batch_size": 3, "batch_tokens": 700, "threads": 1},
    {"batch_size": 32, "batch_tokens": 65_536, "threads": 2},
)


def picked(
    folder: Path, model: Path, *, batch_size: int, batch_tokens: int, threads: int, **sections: Any
) -> list[Any]:
    """The questions of one round in their order, with their scores."""
    student = {"engine": "transformers", "model": str(model), "dtype": "float32"}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run(
            experiment(
                "rounds.count=1", "drafting.max_tokens=24", "drafting.temperature=1.0", "training.epochs=1",
                student=student | {"batch_size": batch_size, "batch_tokens": batch_tokens},
                **{"uncertainty": {"kind": "perplexity"}} | sections,
            ),
            folder,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    picks = [event.payload for event in told(folder, Kind.PICK)]
    return [(pick["problem_id"], pick["aggregate"]) for pick in picks]


def test_scores_by_a_student_that_remembers_are_those_of_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model.save(tmp_path / "model")
    remembered = picked(tmp_path / "remembered", model, **WAYS[0])
    fed = len(told(tmp_path / "remembered", Kind.SCORE))
    monkeypatch.setattr(loop, "along", lambda world, number: None)
    forgotten = picked(tmp_path / "forgotten", model, **WAYS[0])
    assert [id for id, _ in remembered] == [id for id, _ in forgotten]
    assert [score for _, score in remembered] == pytest.approx([score for _, score in forgotten], abs=1e-4)
    assert fed == len(told(tmp_path / "forgotten", Kind.SCORE)) > 0
    stages = [
        {event.payload["stage"] for event in told(tmp_path / name, Kind.STAGE)} for name in ("remembered", "forgotten")
    ]
    assert "draft, score" in stages[0] - stages[1]
    assert {"draft", "score"} <= stages[1] - stages[0]


def told(folder: Path, kind: Kind) -> list[Event]:
    """The events of a kind."""
    with Ledger(folder, write=False) as ledger:
        return list(ledger.events(kind))


def test_picks_do_not_depend_on_batches_tokens_or_threads(tmp_path: Path) -> None:
    model = tiny_model.save(tmp_path / "model")
    found = [picked(tmp_path / str(place), model, **way) for place, way in enumerate(WAYS)]
    ids, scores = zip(*found[0], strict=True)
    assert len(set(scores)) == len(scores), "scores that tie tell nothing"
    for one in found[1:]:
        assert [id for id, _ in one] == list(ids)
        assert [score for _, score in one] == pytest.approx(scores, abs=1e-4)


def offered(count: int, seed: int, prefix: str) -> tuple[Problem, ...]:
    """The made-up questions with three numbers to choose from."""
    made = [(one, int(one.answer or "")) for one in problems(count, seed, prefix)]
    return tuple(replace(one, choices=(str(right - 1), str(right), str(right + 10))) for one, right in made)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyText(Choice):
    """Whatever is written names an option: that of a random student, too."""

    def parse(self, text: str, problem: Problem, *, finished: bool = True) -> Parsed:
        found, choices = Choice.parse(self, text, problem, finished=finished), problem.choices or ()
        if found.answer is not None:
            return found
        return Parsed(answer=choices[len(text) % len(choices)], outcome=ParseOutcome.PARSED)


SOFT: dict[str, Any] = {
    "uncertainty": {"kind": "elad", "soft": True, "samples": 3},
    "task": AnyText(),
    "data": Data(pool=offered(20, 1, "p"), heldout=offered(2, 2, "h"), warmup=()),
}


@pytest.mark.parametrize(("way", "overlapping"), [*((way, True) for way in WAYS), (WAYS[0], False)])
def test_soft_scores_and_picks_do_not_depend_on_chunks_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soft: list[Any], way: dict[str, Any], overlapping: bool
) -> None:
    """Chunks of eight drafts and three scores, against one of each; scores while drafts are in mind, and apart."""
    monkeypatch.setattr(drafting, "ALONG_CHUNK", 8)
    monkeypatch.setattr(drafting, "DRAFT_CHUNK", 8)
    monkeypatch.setattr(scoring, "SCORE_CHUNK", 3)
    if not overlapping:
        monkeypatch.setattr(loop, "along", lambda world, number: None)
    found = picked(tmp_path / "run", tiny_model.save(tmp_path / "model", context=1024), **way, **SOFT)
    assert [id for id, _ in found] == [id for id, _ in soft]
    assert [score for _, score in found] == pytest.approx([score for _, score in soft], abs=1e-4)
    stages = {event.payload["stage"] for event in told(tmp_path / "run", Kind.STAGE)}
    assert ("draft, score" in stages) == overlapping


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What is picked in one chunk of all questions."""
    folder = tmp_path_factory.mktemp("soft")
    found = picked(folder / "run", tiny_model.save(folder / "model", context=1024), **WAYS[0], **SOFT)
    scores = [score for _, score in found]
    assert len(set(scores)) == len(scores), "scores that tie tell nothing"
    drawn = [bool(event.payload["detail"].get("sampled")) for event in told(folder / "run", Kind.SCORE)]
    assert sum(drawn) > 16, "continuations are what chunks could change"
    return found
