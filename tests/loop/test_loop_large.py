"""A pool of any size: nobody holds more of it than what is looked at."""

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from loop_kit import experiment, history, problems

from elad.experiment import Data
from elad.loop import run
from elad.records import Candidate, Chain, Problem, StepScores, to_json
from elad.stages import drafting

POOL = 120
HELD = 40
"""Records of all kinds that a run may hold at once: those of a chunk, of the held-out set and of what is bought."""


def alive() -> int:
    """Records of all kinds in the process, those that other tests left there among them."""
    gc.collect()
    kinds = (Problem, Chain, StepScores, Candidate)
    return sum(issubclass(type(one), kinds) for one in gc.get_objects())  # some answer to `isinstance` with a warning


def written(folder: Path) -> Data:
    """The made-up questions as files."""
    for name, count, seed in (("pool", POOL, 1), ("heldout", 4, 2), ("warmup", 2, 3)):
        rows = [{k: v for k, v in to_json(one).items() if v} for one in problems(count, seed, name)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    pool, heldout, warmup = ((str(folder / f"{name}.jsonl"),) for name in ("pool", "heldout", "warmup"))
    return Data(pool=pool, heldout=heldout, warmup=warmup)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Picks the first ones, and refuses to be told of a pool that somebody holds."""

    needs_scores: bool
    before: int

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Random) -> list[str]:
        ids = [candidate.problem.id for candidate in candidates]
        held = alive() - self.before
        assert len(ids) == POOL
        assert held < HELD, f"{held} records are held"
        return ids[:allowance]


@pytest.mark.parametrize("scored", [True, False])
def test_a_pool_of_files_is_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: bool) -> None:
    monkeypatch.setattr(drafting, "ALONG_CHUNK" if scored else "DRAFT_CHUNK", 8)
    data = written(tmp_path)
    selector = Watching(needs_scores=scored, before=alive())
    rounds = run(experiment("rounds.count=1", data=data, selector=selector), tmp_path / "run")
    assert rounds[1].picks == tuple(f"pool{i}" for i in range(8))


def test_questions_of_files_are_bought_like_those_given_in_python(tmp_path: Path) -> None:
    given = Data(pool=problems(POOL, 1, "pool"), heldout=problems(4, 2, "heldout"), warmup=problems(2, 3, "warmup"))
    run(experiment(data=given), tmp_path / "given")
    run(experiment(data=written(tmp_path)), tmp_path / "read")
    assert history(tmp_path / "given") == history(tmp_path / "read")
