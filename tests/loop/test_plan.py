"""Forecasts before money is spent: they hold what then happens, and learn from earlier runs."""

import json
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

import pytest
import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_kit import experiment, problems
from typer.testing import CliRunner

from elad.cli import app
from elad.errors import RefusedError
from elad.experiment import Data, Experiment
from elad.ledger.events import Kind, Ledger
from elad.ledger.prices import Price
from elad.loop import run
from elad.plan import rehearsal
from elad.plan.forecast import ENOUGH_SEEN, Evidence, Range, Terms, forecast
from elad.plan.plan import plan
from elad.plan.rehearsal import _made_up, rehearse, seen
from elad.records import Candidate, Charge, Reply, Request
from elad.teachers.counting import TokenCounter
from elad.teachers.fake import Fake, Fault
from elad.testing import ChaosTeacher

REVISERS: list[dict[str, Any]] = [
    {"kind": "first_error", "judge": "direct"},
    {"kind": "first_error", "judge": "rollout"},
    {"kind": "first_error", "judge": "compare"},
    {"kind": "rewrite"},
    {"kind": "answer_only"},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered(Fake):
    """The scripted teacher with a tokenizer and a chat template of its own, and as many words as it likes."""

    bytes_per_token: float
    frame: int
    """Tokens around each message."""
    words: float
    """Length of a reply as a share of the scripted one."""

    def _charge(self, request: Request, reply: Reply) -> Charge:
        assert self.price
        texts = [message.content for message in request.messages]
        tokens_in = sum(self.frame + self._tokens(text) for text in texts)
        tokens_out = ceil(self.words * self._tokens(reply.text))
        money = self.price.money(tokens_in=tokens_in, tokens_out=tokens_out)
        version = self.price.version
        return Charge(
            calls=1, tokens_in=tokens_in, tokens_out=tokens_out, money=money, currency="USD", price_version=version
        )

    def _tokens(self, text: str) -> int:
        return ceil(len(text.encode()) / self.bytes_per_token)


def campaign(seed: int) -> Experiment:
    """A campaign with its own pool, price, reviser and teacher, whose tokens are as real ones may be."""
    rng = Random(seed)
    pool = problems(rng.choice([20, 40, 60]), seed, "p")
    data = Data(pool=pool, heldout=problems(4, 100 + seed, "h"), warmup=problems(4, 200 + seed, "w"))
    shares = {Fault.TRUNCATED: 0.15, Fault.WRONG_END: 0.3, Fault.GARBAGE: 0.1}
    teacher = Metered(
        faults={fault: rng.uniform(0, most) for fault, most in shares.items()},
        price=Price(input=rng.uniform(0.1, 5), output=rng.uniform(0.5, 20)),
        seed=seed,
        bytes_per_token=rng.uniform(2.6, 4.8),
        frame=rng.randint(2, 8),
        words=rng.uniform(0.6, 1.6),
    )
    return experiment(
        data=data,
        student={"engine": "fake", "skill": rng.uniform(0.1, 0.6)},
        teacher=teacher,
        reviser=REVISERS[seed % len(REVISERS)],
        rounds={"count": 2, "questions": rng.choice([8, 15])},
        seed=seed,
    )


def within(amount: float, found: Range) -> bool:
    return found.p10 <= amount <= found.p90


def test_the_range_holds_what_then_happens_in_eight_of_ten_campaigns(tmp_path: Path) -> None:
    figures = ("calls", "tokens_in", "tokens_out", "money")
    held = dict.fromkeys(figures, 0)
    for seed in range(10):
        planned = campaign(seed)
        expected = plan(planned).wanted
        run(planned, tmp_path / str(seed))
        with Ledger(tmp_path / str(seed), write=False) as ledger:
            spent = ledger.spent()
        for name in figures:
            held[name] += within(getattr(spent, name), getattr(expected, name))
        assert expected.money.p10 < expected.money.p50 < expected.money.p90 < 8 * expected.money.p10
    assert min(held.values()) >= 8, held


def test_the_teachers_tokenizer_makes_the_range_narrow_and_right(tmp_path: Path) -> None:
    tiny = tiny_model.save(tmp_path / "tiny")
    settings = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m", "price": {"input": 1, "output": 1}}
    planned = experiment(teacher=settings, reviser={"kind": "answer_only"})
    own = experiment(teacher=settings | {"tokenizer": str(tiny)}, reviser={"kind": "answer_only"})
    by_bytes, by_tokens = plan(planned, drafts=False), plan(own, drafts=False)
    assert (by_bytes.counted, by_tokens.counted) == ("bytes", "teacher")
    assert by_bytes.wanted.tokens_in.p90 > 1.8 * by_bytes.wanted.tokens_in.p10
    assert by_tokens.wanted.tokens_in.p90 < 1.2 * by_tokens.wanted.tokens_in.p10
    student = plan(planned.but(student={"engine": "transformers", "model": str(tiny)}), drafts=False)
    assert student.counted == "student"
    assert by_tokens.wanted.tokens_in.p10 > student.wanted.tokens_in.p10
    counter = TokenCounter(str(tiny))
    asked: list[int] = []
    for problem in problems(30, 1, "p"):
        candidate = Candidate(problem=problem, chain=_made_up(planned, problem), scores=None)
        (request,) = next(planned.reviser(candidate, planned.task))
        assert isinstance(request, Request)
        asked.append(counter.tokens_in(request))
    assert within(16 * sum(asked) / len(asked), by_tokens.wanted.tokens_in)


def test_earlier_runs_make_the_range_narrow_and_right(tmp_path: Path) -> None:
    run(experiment("rounds.count=3", teacher={"kind": "fake", "seed": 1}, seed=1), tmp_path / "earlier")
    planned = experiment(teacher={"kind": "fake", "seed": 1}, seed=2)
    blind, taught = plan(planned), plan(planned, [tmp_path / "earlier"])
    assert (blind.seen, taught.seen) == (0, 24)
    run(planned, tmp_path / "now")
    with Ledger(tmp_path / "now", write=False) as ledger:
        spent = ledger.spent()
    width = {name: told.wanted.tokens_out.p90 - told.wanted.tokens_out.p10 for name, told in
             (("blind", blind), ("taught", taught))}  # fmt: skip
    assert width["taught"] < width["blind"]
    assert taught.wanted.tokens_out.p10 * 0.9 <= spent.tokens_out <= taught.wanted.tokens_out.p90 * 1.1


def test_runs_with_another_reviser_teach_nothing(tmp_path: Path) -> None:
    run(experiment(reviser={"kind": "rewrite"}), tmp_path)
    assert plan(experiment(), [tmp_path]).seen == 0


def test_what_came_from_the_cache_teaches_nothing_and_what_was_lost_is_learnt(tmp_path: Path) -> None:
    with ChaosTeacher() as server:
        settings = {"kind": "openai", "base_url": server.base_url, "model": "m", "cache": True}
        planned = experiment(teacher=settings, reviser={"kind": "answer_only"})
        for name in ("bought", "cached"):
            run(planned, tmp_path / name)
    assert seen([tmp_path / "cached"], planned) == []
    before = seen([tmp_path / "bought"], planned)
    assert len(before) == 16
    with Ledger(tmp_path / "bought", write=True) as ledger:
        reply = next(ledger.events(Kind.REPLY))
        lost = reply.payload | {"outcome": "lost", "charge": {"calls": 1, "tokens_in": 1000, "tokens_out": 70}}
        ledger.append(Kind.LOST, [(f"{reply.key}#0", lost), ("elsewhere#0", lost)], round=1)
    after = seen([tmp_path / "bought"], planned)
    assert sum(one.tokens_in for one in after) - sum(one.tokens_in for one in before) == 1000
    assert sum(one.calls for one in after) == 17


def test_a_run_that_has_begun_is_planned_from_where_it_is(tmp_path: Path) -> None:
    teacher = {"kind": "fake", "price": {"input": 1.0, "output": 2.0}}
    run(experiment("budget.calls=5", teacher=teacher, reviser={"kind": "answer_only"}), tmp_path)
    more = experiment("budget.calls=11", teacher=teacher, reviser={"kind": "answer_only"})
    told = plan(more, folder=tmp_path, drafts=False)
    assert (told.bought, told.wanted.questions, told.buys, told.seen) == (5, 11, 6, 5)
    fewer = plan(more.but(["budget.questions=9"]), folder=tmp_path, drafts=False)
    assert (fewer.buys, fewer.fits) == (4, False)
    assert plan(more, folder=tmp_path / "none", drafts=False).bought == 0


def test_a_cap_on_time_counts_waiting_for_the_teacher() -> None:
    settings = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    assert not plan(experiment("budget.seconds=1", teacher=settings), drafts=False).fits
    assert plan(experiment("budget.seconds=10000", teacher=settings), drafts=False).fits
    assert plan(experiment("budget.seconds=1", teacher={"kind": "fake"}), drafts=False).fits


def test_only_long_starts_serve_every_prefix_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    short = plan(experiment(reviser={"kind": "answer_only"}), drafts=False)
    assert short.cacheable_long == 0 < short.cacheable
    monkeypatch.setattr(rehearsal, "LEAST_CACHED_TOKENS", 10)
    assert plan(experiment(reviser={"kind": "answer_only"}), drafts=False).cacheable_long == short.cacheable


def test_many_short_prompts_are_not_forecast_at_the_price_of_a_long_one() -> None:
    charges = [Charge(calls=2, tokens_in=500, tokens_out=80, seconds=1.0)] * ENOUGH_SEEN
    flat = Price(input=1.0, output=2.0)
    tiered = Price(input=1.0, output=2.0, tiers=((1000, 9.0, None, 9.0),))
    evidence = Evidence(good=charges, clumsy=charges, seen=charges)
    assert forecast(evidence, 30, Terms(price=tiered)).money == forecast(evidence, 30, Terms(price=flat)).money


@pytest.mark.parametrize("end", ["\nThe answer is {}.", "\n#### {}"])
def test_references_that_conclude_are_rehearsed_as_chains_that_end_wrong_all_the_same(end: str) -> None:
    plain = problems(6, 1, "p")
    ended = [replace(one, rationale=f"{one.rationale}{end.format(one.answer)}") for one in plain]
    costs = [rehearse(experiment(), group, None).good for group in (plain, ended)]
    assert [cost.calls for cost in costs[0]] == [cost.calls for cost in costs[1]] == [2] * 6


@pytest.mark.parametrize("student", ["own", "none"])
def test_a_cap_buys_what_its_likely_cost_allows(student: str) -> None:
    planned = experiment("budget.calls=11", reviser={"kind": "answer_only"})
    told = plan(planned, drafts=student == "own")
    assert (told.buys, told.fits, told.wanted.questions) == (11, False, 16)
    assert told.drafted == (24 if student == "own" else 0)
    assert 0.3 < told.cacheable < 1


@settings(max_examples=30)
@given(
    costs=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 900), st.integers(0, 300)), min_size=1, max_size=40),
    questions=st.integers(0, 500),
    seed=st.integers(0, 9),
)
def test_a_forecast_is_ordered_and_grows_with_the_questions(
    costs: list[tuple[int, int, int]], questions: int, seed: int
) -> None:
    charges = [Charge(calls=calls, tokens_in=tin, tokens_out=tout, seconds=1.0) for calls, tin, tout in costs]
    price = Price(input=1.0, output=2.0)
    for earlier in ([], charges * ENOUGH_SEEN):
        evidence = Evidence(good=charges, clumsy=charges, seen=earlier)
        small, large = (
            forecast(evidence, n, Terms(price=price, concurrency=4), seed) for n in (questions, 2 * questions + 1)
        )
        for name in ("calls", "tokens_in", "tokens_out", "money", "seconds"):
            one, more = getattr(small, name), getattr(large, name)
            assert 0 <= one.p10 <= one.p50 <= one.p90
            assert one.p50 <= more.p90
    assert forecast(Evidence(good=charges, clumsy=charges), 0, Terms(price=price)).money == Range(p10=0, p50=0, p90=0)


def test_a_batch_is_forecast_at_its_discount_and_in_its_time() -> None:
    charges = [Charge(calls=2, tokens_in=500, tokens_out=80, seconds=1.0)] * ENOUGH_SEEN
    price = Price(input=1.0, output=2.0, batch_discount=0.5)
    evidence = Evidence(good=charges, clumsy=charges, seen=charges)
    live, batch = (forecast(evidence, 30, Terms(price=price, rounds=2, batch=way)) for way in (False, True))
    assert batch.money.p50 == pytest.approx(live.money.p50 / 2)
    assert (batch.calls, batch.tokens_out) == (live.calls, live.tokens_out)
    assert 2 * 2 * 300 <= batch.seconds.p10 < batch.seconds.p90 <= 2 * 2 * 86_400


def test_the_plan_takes_the_channels_price() -> None:
    price = {"input": 1.0, "output": 2.0, "batch_discount": 0.5}
    teacher = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m", "price": price}
    live, auto, batch = (
        plan(experiment(teacher=teacher | {"channel": channel}), drafts=False).wanted.money
        for channel in ("live", "auto", "batch")
    )
    assert batch.p50 == pytest.approx(live.p50 / 2)
    assert auto.p10 < batch.p50 < live.p50 < auto.p90
    del price["batch_discount"]
    undiscounted = plan(experiment(teacher=teacher | {"channel": "auto"}), drafts=False).wanted
    assert (undiscounted.money, undiscounted.seconds.p90 < 300) == (live, True)


def test_the_verb_prints_what_scripts_need() -> None:
    result = CliRunner().invoke(app, ["plan", "elad", "--no-drafts", "--json", "--set", "budget.money=0"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert {"calls", "tokens_out", "money", "seconds", "fits", "buys", "cacheable"} <= set(told)
    assert set(told["money"]) == {"p10", "p50", "p90"}


def test_a_cap_on_money_without_a_price_is_refused_as_a_run_is() -> None:
    unpriced = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "x"}
    with pytest.raises(RefusedError, match="has no price"):
        plan(experiment("budget.money=1", teacher=unpriced), drafts=False)
    assert plan(experiment("budget.calls=10000", teacher=unpriced), drafts=False).fits
    assert plan(experiment("budget.money=1", teacher={"kind": "fake"}), drafts=False).fits
    words = ["plan", "elad", "--no-drafts", "--set", "budget.money=1"]
    teacher = 'teacher={kind: openai, base_url: "http://127.0.0.1:9/v1", model: x}'
    assert isinstance(CliRunner().invoke(app, [*words, "--set", teacher]).exception, RefusedError)


def ran(folder: Path, teacher: str) -> tuple[Any, str]:
    """What `status` tells of a run of four questions, and the line of its forecast."""
    rows = [{"id": one.id, "question": one.question, "answer": one.answer} for one in problems(12, 1, "p")]
    for name, part in (("pool", rows[:8]), ("heldout", rows[8:])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)), encoding="utf-8")
    (folder / "experiment.yaml").write_text(
        "data: {pool: pool.jsonl, heldout: heldout.jsonl}\ntask: numeric\nstudent: {engine: fake}\n"
        f"teacher: {teacher}\nrounds: {{count: 1, questions: 4}}\nreviser: {{kind: first_error, judge: direct}}\n",
        encoding="utf-8",
    )
    words = ["run", str(folder / "experiment.yaml"), "--out", str(folder / "run")]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    told = json.loads(CliRunner().invoke(app, ["status", str(folder / "run"), "--json"]).stdout)
    return told, " ".join(CliRunner().invoke(app, ["status", str(folder / "run")]).stdout.split())


def test_status_shows_what_was_forecast_beside_what_it_took(tmp_path: Path) -> None:
    told, shown = ran(tmp_path, "{kind: fake, price: {input: 1, output: 2}}")
    assert told["forecast"]["questions"] == 4
    assert 0 < told["forecast"]["money"]["p10"] < told["forecast"]["money"]["p90"]
    assert "forecast for 4 questions" in shown
    assert "money" in shown.partition("forecast for")[2]


def test_a_teacher_without_a_price_is_forecast_in_calls_tokens_and_time(tmp_path: Path) -> None:
    with ChaosTeacher(latency_ms=20) as server:
        told, shown = ran(tmp_path, f"{{kind: openai, base_url: '{server.base_url}', model: m}}")
    assert told["forecast"]["calls"]["p10"] > 0
    assert 0 < told["spent"]["revising"] <= told["spent"]["seconds"]
    line = shown.partition("forecast for 4 questions")[2]
    assert [name for name in ("calls", "tokens_in", "tokens_out", "seconds", "money") if name in line] == [
        "calls", "tokens_in", "tokens_out", "seconds",
    ]  # fmt: skip


@pytest.mark.parametrize("teacher", ["{kind: fake}", "{kind: reference}"])
def test_a_teacher_that_answers_at_once_and_for_nothing_is_not_forecast(tmp_path: Path, teacher: str) -> None:
    assert ran(tmp_path, teacher)[0]["forecast"] is None
