"""The last line of a benchmark: the keys that others script against."""

import importlib
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from loop_kit import experiment, problems
from test_loop_stopping import RULES, stopping

from elad.asks import Generation, Prompt
from elad.loop import run
from elad.records import Problem, Sampling
from elad.stages.drafting import chains
from elad.students.fake import Fake, FakeStudent

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
PROMISED = {"name", "ratio", "target", "met", "runs", "spread"}
RUNNERS = {"arms", "bare", "evidence", "metered", "polygraph_peer", "real_run", "table"}
"""Scripts that run experiments or other benchmarks, or are a part of them: they measure nothing themselves."""
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


def test_training_is_held_against_the_fastest_the_leanest_and_their_losses() -> None:
    def side(speed: float, peak: int, loss: float = 1.0) -> dict[str, Any]:
        return {"tokens_per_second": speed, "peak_mib": peak, "loss": loss}

    slow = {"trl": [side(100, 100)] * 2, "trl_micro": [side(125, 90)] * 2, "trl_eager": [side(110, 80)] * 2}
    found = {"elad": [side(200, 40)] * 2} | slow
    told = script("train").verdict(found)
    assert (told["ratio"], told["memory"], told["memory_micro"], told["met"]) == (1.6, 0.4, 0.5, True)
    assert not script("train").verdict(found | {"trl": [side(100, 100), side(100, 100, 1.5)]})["met"]
    for name in slow:
        assert not script("train").verdict(found | {name: [side(190, 100)] * 2})["met"]
        assert not script("train").verdict(found | {name: [side(100, 70)] * 2})["met"]


def test_scores_that_all_differ_alike_are_not_alike() -> None:
    off = script("resample").difference
    assert off([0.5, 0.5], [0.25, 0.25]) == (inf, [0.25, 0.25])
    assert off([0.5, 0.25], [0.5, 0.25]) == (0, [0.0, 0.0])
    mean, (low, high) = off([0.1, 0.3, 0.2], [0.2, 0.1, 0.3])
    assert mean == pytest.approx(0.0)
    assert (low, high) == (-0.196, 0.196)


def test_a_bare_row_ends_where_who_asks_has_enough() -> None:
    class Words:
        def batch_decode(self, rows: Any, **_: Any) -> list[str]:
            return [" ".join(map(str, row.tolist())) for row in rows]

    enough = script("bare").Enough(Words(), lambda place, text: text == str(place), [7, 8], 1)
    assert enough(torch.tensor([[1, 7], [1, 7]]), None).tolist() == [True, False]


def test_memory_and_time_of_a_larger_pool() -> None:
    def row(questions: int, seconds: float, peak: float) -> dict[str, Any]:
        return {"questions": questions, "seconds": seconds, "peak_mib": peak}

    told = script("scale").verdict([row(100, 2.0, 50.0), row(200, 3.0, 55.0), row(1124, 12.24, 55.5)])
    assert (told["ratio"], told["bytes_a_question"], told["met"]) == (1.0, 567, True)
    assert not script("scale").verdict([row(100, 2.0, 50.0), row(200, 3.0, 55.0), row(300, 5.0, 55.0)])["met"]


def test_the_picture_of_scale_is_drawn_from_its_rows(tmp_path: Path) -> None:
    rows = [{"questions": n, "seconds": n / 50, "peak_mib": 50 + n / 1e4} for n in (100, 200, 1124)]
    for name in ("a.svg", "b.svg"):
        script("scale").picture(rows, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes() != b""
    script("scale").picture([*rows, rows[-1] | {"seconds": 900.0}], tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() != (tmp_path / "b.svg").read_bytes()


def test_waiting_is_what_revising_takes_beside_the_student() -> None:
    def stages(revise: float) -> Counter[str]:
        return Counter({"train": 20.0, "revise": revise, "continue": 10.0, "evaluate": 5.0})

    told = script("waiting").verdict([(2000.0, stages(15.0)), (20000.0, stages(85.0))])
    assert told.keys() | {"name"} >= PROMISED
    assert (told["ratio"], told["met"], told["shares"]) == (0.125, False, {"2000": 0.125, "20000": 0.682})
    assert script("waiting").verdict([(2000.0, stages(12.0))])["met"]


def test_the_review_page_is_judged_by_its_slowest_address_and_its_memory() -> None:
    def row(questions: int, ms: float, peak: float) -> dict[str, Any]:
        names = [*script("review").TABLE, *script("review").OTHERS]
        times = {name: [ms / 2] * 3 for name in names} | {names[-3]: [ms, ms, 10 * ms], names[-1]: [999.0]}
        return {"questions": questions, "ms": times, "peak_mib": peak, "open_seconds": 1.0}

    told = script("review").verdict([row(1000, 10, 50.0), row(2024, 100, 50.5)])
    assert (told["ratio"], told["met"], told["bytes_a_question"], told["spread"]) == (0.5, True, 512, [0.5, 5.0])
    assert not script("review").verdict([row(1000, 10, 50.0), row(2024, 201, 50.0)])["met"]
    assert not script("review").verdict([row(1000, 10, 50.0), row(2024, 10, 60.0)])["met"]


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


def test_a_target_is_met_from_its_own_side() -> None:
    target = script("table").Target
    assert target("x", "", 2.0).meets(2.0)
    assert not target("x", "", 2.0).meets(1.9)
    assert target("x", "", 0.5, most=True).meets(0.5)
    assert not target("x", "", 0.5, most=True).meets(0.6)


class Counting:
    """The scripted student, and how often each thing is asked of it; `until` hears the prompt's own seed."""

    def __init__(self) -> None:
        self.student: FakeStudent = Fake(skill=0.5).open()
        self.id, self.context = self.student.id, self.student.context
        self.asked = list[Any]()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, until: Any = None) -> list[Generation]:
        self.asked += [(prompt, sampling) for prompt in prompts]
        for place, prompt in enumerate(prompts):
            assert until is None or until(place, str(prompt.seed)) in (True, False)
        return self.student.generate(prompts, sampling)

    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        self.asked += pairs
        return self.student.score(pairs)

    def entropies(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        return self.student.entropies(pairs)


def characters(prompt: Prompt) -> list[int]:
    return [ord(one) for one in prompt.prefix]


def test_scores_that_share_what_they_ask_are_those_that_each_would_have_alone() -> None:
    args = Namespace(samples=[2, 3], most=4, continuations=[2, 1])
    wanted, given, asked = script("chain_scores").measures(args), experiment(), problems(6, 4, "q")
    student = Counting()
    rows = list(
        script("chain_scores").scored_rows(asked, script("metered").Metered(student, characters), wanted, given)
    )
    assert len(set(student.asked)) == len(student.asked) > 0
    drafts = list(zip(asked, chains(given, student.student, asked), strict=True))
    for name, measure in wanted.items():
        alone = [round(one.aggregate, 6) for one in measure(drafts, student.student, given.task, given.seed)]
        assert [row["scores"][name]["value"] for row in rows] == alone
    for row, (problem, chain) in zip(rows, drafts, strict=True):
        cost = {name: one["sampled"] for name, one in row["scores"].items()}
        assert row["draft"]["sampled"] == chain.tokens
        assert row["wrong"] is not given.task.grade(problem, chain).lenient
        assert cost["perplexity"] == 0 < cost["entropy k=2"] == cost["disagreement k=2"] < cost["disagreement k=4"]
        assert cost["elad M=2 lambda=0.5 max"] == cost["prefix mean"] + cost["elad M=2 lambda=0 mean"]
        assert sum(place["sampled"] for place in row["places"]) == cost["elad M=2 lambda=0 mean"]
        values = [place["value"] for place in row["places"]]
        assert sum(values) / len(values) == pytest.approx(row["scores"]["elad M=2 lambda=0 mean"]["value"], abs=1e-6)


def test_what_was_asked_before_is_charged_again_and_who_asks_more_is_told_of_its_own_prompts() -> None:
    first, second, third = (
        Prompt(messages=(), prefix=prefix, seed=seed) for seed, prefix in enumerate(("ab", "ac", "b"))
    )
    student, told = Counting(), list[tuple[int, str]]()
    meter = script("metered").Metered(student, characters)
    meter.generate([first, second], Sampling())
    both = script("metered").cost(meter.spent())
    assert both["read"] == 3
    meter.generate([second, third], Sampling(), lambda place, text: told.append((place, text)) is None)
    assert told == [(1, "2")]
    again = meter.generate([first, second], Sampling())
    more = meter.spent()
    assert script("metered").cost(more[2:]) == both
    assert both["sampled"] == sum(one.tokens for one in again)


def chain_scores_rows() -> list[dict[str, Any]]:
    """`elad` knows, `disagreement` does not with two samples and does with nine, `margin` has it upside down."""

    def row(number: int, wrong: bool) -> dict[str, Any]:
        told = {
            "disagreement k=2": (0.5, 20),
            "disagreement k=9": (float(wrong), 90),
            "margin k=2": (float(not wrong), 20),
            "elad M=1": (float(wrong), 21),
            "elad M=5": (float(wrong), 84),
        }
        scores = {
            name: {"value": value, "sampled": cost, "read": 1, "seconds": cost / 10}
            for name, (value, cost) in told.items()
        }
        return {"id": f"q{number}", "wrong": wrong, "scores": scores}

    return [row(number, wrong) for number, wrong in enumerate([True, False] * 10)]


def test_a_score_is_held_against_as_many_sampled_tokens() -> None:
    rows = chain_scores_rows()
    found = {line["score"]: line for line in script("chain_scores").table(rows, 0)}
    told = {name: (line["auroc"], line["interval"], line["sampled"]) for name, line in found.items()}
    assert told["elad M=1"] == (1.0, (1.0, 1.0), 21)
    assert told["margin k=2"] == (0.0, (0.0, 0.0), 20)
    few, many = found["elad M=1"]["equal_sampled"], found["elad M=5"]["equal_seconds"]
    assert few == {"score": "disagreement k=2", "auroc": 0.5, "above": (0.5, 0.5), "sampled": 20}
    assert many == {"score": "disagreement k=9", "auroc": 1.0, "above": (0.0, 0.0), "seconds": 9}
    for line in script("chain_scores").table([row | {"wrong": True} for row in rows], 0):
        assert (line["auroc"], line["interval"], line["equal_sampled"]["above"]) == (None, None, None)


def test_nothing_is_held_against_what_costs_much_less() -> None:
    rows = chain_scores_rows()
    for row in rows:
        row["scores"]["elad M=1"]["sampled"] = 40
        del row["scores"]["elad M=5"]
    bench = script("chain_scores")
    lines = bench.table(rows, 0)
    assert next(line for line in lines if line["score"] == "elad M=1")["equal_sampled"] is None
    told = bench.verdict(bench.chosen(lines, lines), len(rows))
    assert (told["ratio"], told["met"], told["spread"]) == (None, False, None)


def test_chain_scores_are_chosen_by_one_half_and_reported_on_the_other() -> None:
    bench, rows = script("chain_scores"), chain_scores_rows()
    first, second = bench.split(rows, 3)
    assert (first, second) == bench.split(rows[::-1], 3) != bench.split(rows, 4)
    assert len(first) == len(second)
    assert sorted(row["id"] for row in first + second) == sorted(row["id"] for row in rows)
    for row in second:
        row["scores"]["elad M=5"]["value"] = 0.5
    picks = {one["group"]: one for one in bench.chosen(bench.table(first, 0), bench.table(second, 0))}
    assert {name: (one["score"], one["by"], one["auroc"]) for name, one in picks.items()} == {
        "k=2": ("disagreement k=2", 0.5, 0.5),
        "k=9": ("disagreement k=9", 1.0, 1.0),
        "M=1": ("elad M=1", 1.0, 1.0),
        "M=5": ("elad M=5", 1.0, 0.5),
    }
    told = bench.verdict(list(picks.values()), len(rows))
    assert told.keys() | {"name"} >= PROMISED
    assert (told["score"], told["beside"], told["ratio"], told["met"]) == ("elad M=1", "disagreement k=2", 2.0, True)
    told = bench.verdict([picks["M=5"]], len(rows))
    assert (told["ratio"], told["met"], told["spread"], told["runs"]) == (0.5, False, (-0.5, -0.5), 20)


def test_a_place_is_told_of_by_the_chains_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = script("chain_scores")
    monkeypatch.setattr(bench, "FEW", 3)

    def row(wrong: bool, *values: float) -> dict[str, Any]:
        return {"wrong": wrong, "places": [{"value": one, "intra": 1 - one, "sampled": 9 * one} for one in values]}

    half = [row(True, 1.0, 0.0), row(False, 0.0, 1.0), row(False), row(True, 1.0)]
    lines = bench.by_place([half, half[:1]])
    assert [(line["place"], line["chains"], line["sampled"]) for line in lines] == [
        (1, 4, 6.75),
        (2, 3, 3.0),
        ("last", 4, 4.5),
    ]
    assert [line["inter"] for line in lines] == [[1.0, None], [0.0, None], [0.25, None]]
    assert [line["intra"] for line in lines] == [[0.0, None], [1.0, None], [0.75, None]]


def test_made_up_facts_share_no_name_and_half_of_them_are_taught() -> None:
    facts = script("knowledge_detection").made_up(60, 1)
    answers = [fact.problem.answer for fact in facts]
    assert len(set(answers)) == 60
    assert sum(fact.taught for fact in facts) == 30
    for fact in facts:
        assert fact.problem.answer in fact.problem.metadata["passage"]
        assert fact.problem.answer not in fact.problem.question
        assert fact.problem.context is None
        assert sum(fact.problem.answer in other.problem.metadata["passage"].split() for other in facts) <= 1
    assert facts == script("knowledge_detection").made_up(60, 1)
    assert facts != script("knowledge_detection").made_up(60, 2)


def test_knowledge_detection_is_judged_by_its_worst_seed() -> None:
    def row(seed: int, arm: str, auroc: float) -> dict[str, Any]:
        halves = {"untaught": 0.1, "taught": 0.9}
        same = {
            "differ": 0.9,
            "judge": "student",
            "kept": dict.fromkeys(map(str, script("knowledge_detection").BOUNDS), 4),
        }
        return {"seed": seed, "arm": arm, "auroc": auroc, "accuracy": [halves, halves], **same}

    rows = [row(seed, arm, auroc) for seed, auroc in ((0, 0.9), (1, 0.7)) for arm in ("filtered", "all")]
    told = script("knowledge_detection").verdict(rows)
    assert told.keys() | {"name"} >= PROMISED
    assert (told["ratio"], told["met"], told["runs"], told["spread"]) == (0.8, False, 2, [0.7, 0.9])
    assert told["accuracy"]["all"][1] == {"untaught": 0.1, "taught": 0.9}
    assert script("knowledge_detection").verdict(rows[:2])["met"]
