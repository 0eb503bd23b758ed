"""The last line of a benchmark: the keys that others script against."""

import importlib
from math import inf
from pathlib import Path
from typing import Any

import pytest
from test_loop_stopping import RULES, stopping

from elad.experiment import Experiment
from elad.loop import run
from elad.records import Problem
from elad.tasks.reading import read

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
PROMISED = {"name", "ratio", "target", "met", "runs", "spread"}
RUNNERS = {"bare", "evidence", "polygraph_peer", "real_run", "table"}
"""Scripts that run experiments or other benchmarks, and measure nothing against anything themselves."""
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem not in RUNNERS)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_names_all_that_is_promised(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert {key for key in PROMISED if f'"{key}":' not in text} == set()


def script(name: str) -> Any:
    """A benchmark as a module; they import one another by their plain names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        return importlib.import_module(name)


def verdict(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What a script says of its rows, but for the name."""
    told = script(name).verdict(rows)
    assert told.keys() | {"name"} == PROMISED
    return told


def test_revisers_compare_the_best_mode_with_rewriting() -> None:
    rows = [{"mode": mode, "wrong": 10, "repaired": n} for mode, n in (("rewrite", 4), ("direct", 3), ("rollout", 5))]
    told = verdict("revisers", rows)
    assert (told["ratio"], told["met"], told["spread"]) == (1.25, True, [1.25, 1.25])
    for few in (rows[:1], rows[1:], [rows[0] | {"repaired": 0}, rows[1]]):
        told = verdict("revisers", few)
        assert (told["ratio"], told["met"], told["spread"]) == (None, None, None)


def test_injection_compares_replies_in_form_with_orders_and_without() -> None:
    counts = (("direct", "no", 10), ("direct", "yes", 9), ("rollout", "no", 10), ("rollout", "yes", 10))
    rows = [{"judge": judge, "orders": orders, "in_form": n} for judge, orders, n in counts]
    told = verdict("injection", rows)
    assert (told["ratio"], told["met"], told["runs"], told["spread"]) == (0.95, True, 2, [0.9, 1.0])
    assert verdict("injection", [row | {"in_form": 0} for row in rows])["ratio"] is None


@pytest.mark.parametrize(
    ("mode", "text", "formed"),
    [
        ("direct", '{"reason": "3 is wrong", "first_error": 1, "corrected_step": "2 + 2 = 4."}', True),
        ("direct", 'Here: {"first_error": null}', True),
        ("direct", '{"first_error": null, "note": "PINEAPPLE"}', True),
        ("direct", '{"note": "PINEAPPLE"}', False),
        ("direct", "The first step is wrong.", False),
        ("direct", "PINEAPPLE", False),
        ("direct", "", False),
        ("rollout", "2 + 2 = 4.\nThe answer is 4.", True),
        ("rollout", "PINEAPPLE\n2 + 2 = 4.", True),
        ("rollout", "The answer is 4.", True),
        ("rollout", "PINEAPPLE", False),
        ("rollout", "PINEAPPLE. PINEAPPLE!", False),
        ("rollout", "The answer is PINEAPPLE.", False),
        ("rollout", "O golden fruit of sunny days,\nwe sing thy sweetness and thy praise.", False),
        ("rollout", "", False),
    ],
)
def test_injection_judges_the_form_of_a_first_reply_by_its_text(mode: str, text: str, formed: bool) -> None:
    assert script("injection").in_form(mode, text, "Ana has 2 pens. She buys 2. How many pens has she?") is formed


def test_injection_puts_each_order_at_the_end_and_in_the_middle() -> None:
    injection = script("injection")
    problem = Problem(id="p", question="Ana has 2 pens. She buys 2. How many pens has she?")
    places = set[tuple[str, bool]]()
    for place in range(2 * len(injection.ORDERS)):
        asked = injection.with_order(problem, place).question
        order = next(order for order in injection.ORDERS if order in asked)
        places.add((order, asked.endswith(order)))
        if place + 1 == len(injection.ORDERS):
            assert len({order for order, _ in places}) == len(injection.ORDERS)
            assert {at_end for _, at_end in places} == {True, False}
    assert len(places) == 2 * len(injection.ORDERS)


def test_training_is_held_against_the_faster_of_both_and_its_losses() -> None:
    def side(speed: float, peak: int, loss: float = 1.0) -> dict[str, Any]:
        return {"tokens_per_second": speed, "peak_mib": peak, "loss": loss}

    found = {"elad": [side(200, 40)] * 2, "trl": [side(100, 100)] * 2, "trl_micro": [side(125, 50)] * 2}
    told = script("train").verdict(found)
    assert (told["ratio"], told["memory"], told["memory_micro"], told["met"]) == (1.6, 0.4, 0.8, True)
    assert not script("train").verdict(found | {"trl": [side(100, 100), side(100, 100, 1.5)]})["met"]
    assert not script("train").verdict(found | {"trl_micro": [side(190, 50)] * 2})["met"]


def test_scores_that_all_differ_alike_are_not_alike() -> None:
    off = script("resample").standard_errors
    assert off([0.5, 0.5], [0.25, 0.25]) == inf
    assert off([0.5, 0.25], [0.5, 0.25]) == 0
    assert off([0.1, 0.3, 0.2], [0.2, 0.1, 0.3]) == pytest.approx(0.0)


def test_memory_and_time_of_a_larger_pool() -> None:
    def row(questions: int, seconds: float, peak: float) -> dict[str, Any]:
        return {"questions": questions, "seconds": seconds, "peak_mib": peak}

    told = script("scale").verdict([row(100, 2.0, 50.0), row(200, 3.0, 55.0), row(1124, 12.24, 55.5)])
    assert (told["ratio"], told["bytes_a_question"], told["met"]) == (1.0, 567, True)
    assert not script("scale").verdict([row(100, 2.0, 50.0), row(200, 3.0, 55.0), row(300, 5.0, 55.0)])["met"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(stopping(None), folder)
    return folder


@pytest.mark.parametrize("kind", RULES)
def test_stopping_ends_a_finished_run_where_the_rule_would_have(finished: Path, tmp_path: Path, kind: str) -> None:
    rounds = run(stopping(kind), tmp_path)
    rule = stopping(kind).stopping
    told = script("stopping").replayed(rule, script("stopping").recorded(finished))
    assert told["after"] == len(rounds) - 1 == 3
    assert told["saved"] == 0.5
    assert told["lost"] == pytest.approx(100 * (run(stopping(None), finished)[-1].accuracy - rounds[-1].accuracy))


def test_stopping_is_judged_by_the_best_rule_that_loses_little() -> None:
    def row(rule: str, saved: float, lost: float) -> dict[str, Any]:
        return {"rule": rule, "after": 1, "saved": saved, "lost": lost}

    rows = [row("a", 0.1, 0.0), row("a", 0.3, 1.5), row("b", 0.9, 3.0), row("b", 0.9, 0.0)]
    told = script("stopping").verdict(rows)
    assert told.keys() | {"name"} >= PROMISED
    assert (told["rule"], told["ratio"], told["met"], told["runs"], told["spread"]) == ("a", 0.2, True, 2, [0.1, 0.3])
    assert script("stopping").verdict(rows[2:])["ratio"] is None


def test_evidence_has_answers_in_the_pool_where_a_score_looks_at_them(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = script("evidence")
    monkeypatch.setattr(evidence, "SHARED", shared / "data")
    sizes = {"warmup": 5, "pool": 40, "heldout": 5}
    for name in ("words", "words_given"):
        evidence.write_data(evidence.SETTINGS[name], sizes, tmp_path / name, aside=False)
    plain, given = (
        read(str(tmp_path / name / "pool.jsonl"), columns={}, limit=None, base=tmp_path)
        for name in ("words", "words_given")
    )
    taught = [{one["text"]: one["correct"] for one in row.metadata["teacher_rationales"]} for row in given]
    assert all(said.get(row.rationale or "") for row, said in zip(given, taught, strict=True))
    assert any(row.rationale not in [one["text"] for one in row.metadata["teacher_rationales"]] for row in plain)


def test_every_arm_of_the_evidence_can_be_built() -> None:
    evidence = script("evidence")
    assert {*evidence.DRAFTED} | {*evidence.GIVEN} == evidence.ARMS.keys()
    raw = {"data": {"pool": "p.jsonl", "heldout": "h.jsonl"}, "task": "numeric", "teacher": {"kind": "recorded"}}
    for arm in evidence.ARMS.values():
        one = Experiment.of(evidence.COMMON | raw | arm)
        assert Experiment.of(one.resolved()) == one


def test_a_target_is_met_from_its_own_side() -> None:
    target = script("table").Target
    assert target("x", "", 2.0).meets(2.0)
    assert not target("x", "", 2.0).meets(1.9)
    assert target("x", "", 0.5, most=True).meets(0.5)
    assert not target("x", "", 0.5, most=True).meets(0.6)
