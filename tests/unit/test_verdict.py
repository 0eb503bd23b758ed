"""What is said of two arms: verdict, sentence and remarks, on curves that are told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from elad.evaluation.curves import Curve
from elad.report.compare import judged
from elad.report.runs import Arm, Read
from elad.report.verdict import area_table, flips_line, remarks, sentence

QUESTIONS = 60


def arm(
    name: str, *shares: Sequence[float], step: float = 50, money: float = 0, settings: dict[str, Any] | None = None
) -> Arm:
    """Runs with these shares of right answers round by round, a seed each.

    A round costs `step` output tokens, as many questions, and `money`.
    """
    runs = [
        Read(
            folder=Path(name) / f"seed-{seed}",
            name=name,
            settings={"selector.kind": "random" if name == "random" else "top"} | (settings or {}),
            state="finished: all rounds done",
            questions=tuple(map(str, range(QUESTIONS))),
            currency=None,
            curve=Curve(
                seed=seed,
                costs={cost: tuple(step * k for k in range(len(its))) for cost in ("tokens_out", "questions")}
                | {"tokens_in": (0.0,) * len(its), "money": tuple(money * k for k in range(len(its)))},
                right=tuple(tuple(q < round(share * QUESTIONS) for q in range(QUESTIONS)) for share in its),
            ),
        )
        for seed, its in enumerate(shares)
    ]
    return Arm(name=name, runs=tuple(runs))


def told_of(found: dict[str, Any]) -> str:
    return " | ".join([sentence(found), *remarks(found)])


def test_what_the_reference_never_reached_cannot_be_said() -> None:
    found = judged([arm("elad", *[[0.2, 0.75, 0.8]] * 4), arm("random", *[[0.2, 0.4, 0.45]] * 4)], 0.7)
    assert found["verdict"] == "cannot be said"
    assert sentence(found).startswith("cannot be said: random never reached 70.0%, with 45 ")
    assert "what can be said: mean accuracy along the curve: +26" in told_of(found)


def test_what_the_reference_had_at_first_cannot_be_said() -> None:
    """It falls below where it began, while the arm rises."""
    found = judged([arm("elad", *[[0.4, 0.6, 0.8]] * 4), arm("random", *[[0.4, 0.35, 0.3]] * 4)])
    assert found["verdict"] == "cannot be said"
    assert "random had 30.0% before anything was bought" in sentence(found)
    assert "what can be said: mean accuracy along the curve: +25.0 points" in told_of(found)


@pytest.mark.parametrize(("step", "least"), [(50, "0%"), (75, "50%")])
def test_an_arm_that_is_clearly_worse_up_to_its_end_costs_more(step: float, least: str) -> None:
    stuck = arm("elad", *[[0.2, 0.2, 0.2]] * 4, step=step)
    found = judged([stuck, arm("random", *[[0.2, 0.5, 0.7]] * 4)])
    assert found["verdict"] == "costs"
    assert sentence(found).startswith("elad costs more: elad never reached 70.0%, which random reached with 100 ")
    assert f"(95 % interval: at least {least} more)" in sentence(found)


def test_an_arm_that_ended_early_may_still_come_there() -> None:
    found = judged([arm("elad", *[[0.2, 0.2, 0.2]] * 4, step=25), arm("random", *[[0.2, 0.5, 0.7]] * 4)])
    assert found["verdict"] == "no measurable saving"
    assert "elad is clearly below that accuracy up to its end, and needs more than it has spent" in told_of(found)


def test_an_arm_that_gets_there_early_saves() -> None:
    found = judged([arm("elad", *[[0.2, 0.9, 0.9]] * 4), arm("random", *[[0.2, 0.4, 0.5]] * 4)])
    assert found["verdict"] == "saves"
    assert sentence(found).startswith("elad reached 50.0% with 79% fewer teacher output tokens than random")


def test_flips_are_told_with_what_they_can_show() -> None:
    found = judged([arm("elad", *[[0.2, 0.9, 0.9]] * 3), arm("random", *[[0.2, 0.4, 0.5]] * 3)])
    flips = found["permutation"]
    assert (flips["seeds"]["p"], flips["seeds"]["least"]) == (0.25, 0.25)
    assert flips["questions"]["units"] == 0.5 * QUESTIONS
    line = flips_line(found)
    assert line is not None
    assert "p = 0.25 over seeds (the least that 3 can show is 0.25)" in line
    assert "for these very students and no others" in line


def test_one_pair_of_runs_has_no_p() -> None:
    found = judged([arm("elad", [0.2, 0.9]), arm("random", [0.2, 0.4])])
    assert (found["permutation"], flips_line(found)) == (None, None)


def test_an_accuracy_that_is_the_references_own_end_is_told() -> None:
    arms = arm("elad", [0.2, 0.4, 0.5], [0.2, 0.5, 0.5]), arm("random", [0.2, 0.45, 0.6], [0.2, 0.45, 0.5])
    found = judged(arms)
    assert (found["saving_tokens"]["spent"], found["verdict"]) == ("never reached", "no measurable saving")
    assert "random reaches 55.0% by construction" in told_of(found)
    assert "by construction" not in told_of(judged(arms, 0.55))


def test_another_cost_that_says_the_contrary_is_told() -> None:
    dear = arm("elad", *[[0.2, 0.9, 0.9]] * 4, money=20)
    cheap = arm("random", *[[0.2, 0.4, 0.5]] * 4, money=1)
    found = judged([dear, cheap])
    assert (found["verdict"], found["saving_money"]["verdict"]) == ("saves", "costs")
    assert "by money it is otherwise: elad costs more: elad reached 50.0% with 329% more money" in told_of(found)
    assert "otherwise" not in told_of(judged([arm("elad", *[[0.2, 0.9, 0.9]] * 4, money=1), cheap]))
    pair = judged([arm("elad", [0.2, 0.9], money=9), arm("random", [0.2, 0.5], money=1)])
    assert "by money it is otherwise: not enough seeds" in told_of(pair)


def test_areas_are_told_for_each_arm_and_cost() -> None:
    found = judged([arm("elad", *[[0.2, 0.4, 0.6]] * 2, money=3), arm("random", *[[0.2, 0.3, 0.4]] * 2, money=6)])
    areas = found["areas"]
    assert {cost: area["common_end"] for cost, area in areas.items()} == {
        "tokens_out": 100,
        "questions": 100,
        "money": 6,
    }
    assert (areas["tokens_out"]["arm"], areas["tokens_out"]["reference"]) == pytest.approx((0.4, 0.3))
    assert (areas["money"]["arm"], areas["money"]["reference"]) == pytest.approx((0.4, 0.25))
    for area in areas.values():
        assert area["value"] == pytest.approx(area["arm"] - area["reference"])
        assert area["low"] < area["value"] < area["high"]
    assert found["auc_difference"] == areas["tokens_out"] | {"over": "tokens_out"}
    assert area_table(found).row_count == 3


def test_what_the_arms_differ_in_is_told() -> None:
    one, other = [[0.2, 0.6]] * 2, [[0.2, 0.5]] * 2
    random = arm("random", *other, settings={"training.epochs": 2})
    found = judged([arm("elad", *one, settings={"training.epochs": 2, "uncertainty.samples": 4}), random])
    assert found["differs"] == {"selector.kind": ["top", "random"], "uncertainty.samples": [4, None]}
    assert "differ in more" not in told_of(found)
    found = judged([arm("elad", *one, settings={"training.epochs": 3}), random])
    assert found["differs"]["training.epochs"] == [3, 2]
    assert "elad and random differ in more than what decides the picks" in told_of(found)
    assert told_of(found).endswith("training.epochs") or "training.epochs |" in told_of(found)


def test_a_reference_that_was_not_chosen_by_lot_is_told() -> None:
    one, other = arm("elad", *[[0.2, 0.6]] * 2), arm("entropy", *[[0.2, 0.5]] * 2)
    found = judged([one, other])
    assert (found["reference"], found["arm"]) == ("elad", "entropy")
    assert "no single arm selects at random: elad, the first one given, is the reference" in told_of(found)
    assert "no single arm" not in told_of(judged([one, arm("random", *[[0.2, 0.5]] * 2)]))


def test_a_run_that_ended_early_is_named() -> None:
    short = arm("elad", [0.2, 0.4, 0.5, 0.6], [0.2, 0.4], [0.2, 0.4, 0.5, 0.6])
    found = judged([short, arm("random", *[[0.2, 0.4, 0.5, 0.6]] * 3)])
    told = "elad/seed-1 (finished: all rounds done) ended at 50 teacher output tokens, others of elad at up to 150"
    assert told in told_of(found)
    assert "seed-0" not in told_of(found)


def test_many_arms_are_many_chances() -> None:
    random, rows = arm("random", *[[0.2, 0.5]] * 2), [[0.2, 0.6]] * 2
    two = judged([random, arm("a", *rows), arm("b", *rows)])
    for one in two["comparisons"]:
        assert "2 arms are held against random, each at 95 %" in told_of(one)
        assert "10 of 100" in told_of(one)
    assert "each at" not in told_of(judged([random, arm("a", *rows)]))
