"""Mentor-KD: the settings that its card tells, its arms, and the whole of it on tiny models."""

from pathlib import Path
from typing import Any

import pytest
import tiny_model
from guide_kit import events

from elad.ledger.events import Kind
from elad.loop import run
from elad.methods.finding import cards, find
from elad.report.status import status


def test_its_settings_are_the_papers_where_its_card_says_so() -> None:
    told = find("mentor_kd").resolved()
    assert told["objective"] == {"kind": "soft", "lambda": 0.3, "scaled": False, "tau": 2.0}
    assert (told["guide"]["samples"], told["guide"]["temperature"], told["seed"]) == (3, 0.7, 42)
    for training in (told["training"], told["guide"]["training"]):
        assert (training["batch_size"], training["max_length"]) == (8, 512)
        assert training["patience"] > 0  # the epoch is chosen by questions that were bought and kept aside
    assert told["guide"]["student"]["lora"]["rank"] == 8 * told["student"]["lora"]["rank"]
    assert told["guide"]["student"]["model"] == told["student"]["model"]


def test_it_is_listed_with_its_label() -> None:
    (card,) = [one for one in cards() if one["name"] == "mentor_kd"]
    assert "2410.09037" in card["paper"]
    assert "released code [P]" in card["evidence"]
    assert "[2]" in card["evidence"]


@pytest.mark.parametrize(
    ("arm", "soft", "chains"),
    [
        ([], True, True),
        (["objective=sft"], False, True),
        (["guide.samples=0"], True, False),
        (["objective=sft", "guide=null"], False, False),
    ],
)
def test_each_part_can_be_taken_away(arm: list[str], soft: bool, chains: bool) -> None:
    one = find("mentor_kd", arm)
    assert bool(one.objective.needs) == soft
    assert bool(one.guide and one.guide.samples) == chains
    assert bool(one.guide) == (soft or chains)


def test_it_runs_on_the_packaged_sample(tmp_path: Path) -> None:
    """With weights that know nothing: which rows are learnt from by whom, and with what at hand."""
    model = tiny_model.save(tmp_path / "tiny", context=700)
    small: dict[str, Any] = {"pool": 6, "heldout": 2}
    overrides = [
        f"data.limit={small}",
        "rounds.questions=4",
        "drafting.max_tokens=16",
        *(f"{whose}.model={model}" for whose in ("student", "guide.student")),
        *(f"{whose}.epochs=1" for whose in ("training", "guide.training")),
        *(f"{whose}.max_length=600" for whose in ("training", "guide.training")),
    ]
    rounds = run(find("mentor_kd", overrides), tmp_path / "run")
    assert rounds[1].revisions == {"rewritten": 4}
    _, mentor, student = (event.payload for event in events(tmp_path / "run", Kind.TRAINING))
    assert (mentor["examples"], mentor["too_long"], mentor["validation_rows"]) == (28, 0, 1)
    assert student["guide"] == mentor["student"]
    assert [set(part) for part in student["parts"]] == [{"cross_entropy", "kl"}]
    told = status(tmp_path / "run")
    assert sum(told["outcomes"]["guided"].values()) == 3 * 4
    assert told["state"] == "finished"
