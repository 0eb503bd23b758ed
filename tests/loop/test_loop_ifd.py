"""IFD as it is run: a round of experience, then the highest scores; and its control beside it."""

from pathlib import Path
from typing import Any

from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.methods.finding import find

SMALL = ["student={engine: fake}", "rounds.questions=10", "selector.experience.clusters=5"]
"""The method's own experiment on the scripted student."""


def picked(home: Path, number: int) -> list[Any]:
    with Ledger(home, write=False) as ledger:
        return [event.payload for event in ledger.events(Kind.PICK) if event.round == number]


def test_a_run_has_its_experience_and_then_the_highest_scores(tmp_path: Path) -> None:
    rounds = run(find("ifd", SMALL), tmp_path / "ifd")
    assert [len(one.picks) for one in rounds] == [0, 10, 10]
    assert [one.examples for one in rounds] == [0, 10, 20]
    with Ledger(tmp_path / "ifd", write=False) as ledger:
        scores = [event.payload for event in ledger.events(Kind.SCORE) if event.round == 2]
        learnt = {event.payload["problem_id"]: event.payload["after"] for event in ledger.events(Kind.REVISION)}
    asked = [pick["problem"] for number in (1, 2) for pick in picked(tmp_path / "ifd", number)]
    # What is scored is what is learnt.
    assert learnt == {one["id"]: f"{one['rationale']}\nThe answer is {one['answer']}." for one in asked}
    kept = sorted((one["aggregate"] for one in scores if "left_out" not in one["detail"]), reverse=True)
    assert len(scores) == 110
    assert [pick["aggregate"] for pick in picked(tmp_path / "ifd", 2)] == kept[:10]
    told = run(find("ifd", SMALL), tmp_path / "ifd")
    assert told == rounds  # nothing is done twice
    like = {"experience": {"clusters": 5}}
    control = find("ifd", SMALL).but(selector={"kind": "elad.methods.ifd:LengthMatched", "like": like})
    run(control, tmp_path / "control")
    ids = [
        [[one["problem_id"] for one in picked(tmp_path / name, number)] for name in ("ifd", "control")]
        for number in (1, 2)
    ]
    assert ids[0][0] == ids[0][1]
    assert ids[1][0] != ids[1][1]
