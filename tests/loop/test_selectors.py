"""Whole runs with selectors that look at embeddings: computed once, remembered, and of the student as it is."""

from pathlib import Path

import pytest
from loop_kit import experiment, history

from elad.ledger.events import Kind, Ledger
from elad.loop import run


def embedded(folder: Path) -> list[tuple[int, str]]:
    with Ledger(folder, write=False) as ledger:
        return [(event.round, event.key) for event in ledger.events(Kind.EMBEDDING)]


@pytest.mark.parametrize("kind", ["k_means", "badge", "facility_location"])
def test_each_round_embeds_what_is_open(kind: str, tmp_path: Path) -> None:
    rounds = run(experiment(selector={"kind": kind}), tmp_path)
    assert [len(turn.picks) for turn in rounds] == [0, 8, 8]
    found = embedded(tmp_path)
    assert [number for number, _ in found] == [1] * 30 + [2] * 22


def test_core_set_embeds_what_was_bought_too(tmp_path: Path) -> None:
    """By the student as it is now: the embeddings of another one lie elsewhere."""
    run(experiment(selector="core_set"), tmp_path)
    assert [number for number, _ in embedded(tmp_path)] == [1] * 30 + [2] * 30


def test_a_run_that_is_taken_up_again_embeds_nothing_anew(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    run(experiment(selector="core_set"), whole)
    run(experiment("rounds.count=1", selector="core_set"), half)
    before = embedded(half)
    run(experiment(selector="core_set"), half)
    assert embedded(half)[:30] == before
    assert history(half) == history(whole)


def test_a_selector_that_does_not_look_has_nothing_embedded(tmp_path: Path) -> None:
    run(experiment("rounds.count=1", selector="stratified"), tmp_path)
    assert embedded(tmp_path) == []


@pytest.mark.parametrize("kind", ["entropy", "perplexity", "token_entropy", "self_confidence", "variance"])
def test_a_score_of_whole_questions_picks_as_well(kind: str, tmp_path: Path) -> None:
    rounds = run(experiment("rounds.count=1", uncertainty=kind), tmp_path)
    assert len(rounds[1].picks) == 8
    with Ledger(tmp_path, write=False) as ledger:
        aggregates = [event.payload["aggregate"] for event in ledger.events(Kind.PICK)]
        scores = [event.payload["aggregate"] for event in ledger.events(Kind.SCORE)]
    assert aggregates == sorted(scores, reverse=True)[:8]
