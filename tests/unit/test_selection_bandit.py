"""The bandit's regret against the best arm, by simulation; what earns and what it costs; and which arms go together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from random import Random as Rng
from statistics import fmean
from typing import Any

import pytest

from elad.errors import ConfigError
from elad.kinds import build
from elad.outcomes import RevisionOutcome as Outcome
from elad.protocols import Several
from elad.records import Candidate, Chain, Charge, Past, Problem, Sampling, StepScores
from elad.selection.bandit import Bandit
from elad.selection.core_set import CoreSet
from elad.selection.part import Part
from elad.selection.random import Random
from elad.selection.top import Top
from elad.tasks.chains import make_chain
from elad.tasks.numeric import Numeric

BATCH = 20


@dataclass(frozen=True, kw_only=True)
class Row:
    """A selector for the tests: it never runs out, and its ids begin with its letter."""

    letter: str

    @property
    def needs_scores(self) -> bool:
        return False

    def __call__(self, candidates: Sequence[Candidate], allowance: int, rng: Rng) -> list[str]:
        return [f"{self.letter}{place}" for place in range(allowance)]


def past(by: str, outcome: Outcome, charge: Charge | None = None, number: int = 1, *, changed: bool = True) -> Past:
    problem = Problem(id=f"{by} {number}", question="How many?")
    return Past(
        round=number,
        problem=problem,
        chain="1.",
        aggregate=None,
        parts={},
        embedding=None,
        by=by,
        outcome=outcome,
        changed=changed,
        charge=charge or Charge(calls=1),
    )


def picked(bandit: Bandit, before: Sequence[Past], count: int, seed: int, pool: Sequence[Candidate] = ()) -> Any:
    taught = bandit.having(before)
    assert isinstance(taught, Several)
    return taught.picks(pool, count, Rng(seed))


def played(
    chances: Mapping[str, float], rounds: int, seed: int, prices: Mapping[str, float] | None = None
) -> list[str]:
    """The arm of each pick, by letter, where an arm's pick earns with its chance."""
    bandit, luck, before = Bandit(arms=tuple(Row(letter=one) for one in chances)), Rng(seed), list[Past]()
    letters: list[str] = []
    for number in range(1, rounds + 1):
        for id, by in picked(bandit, before, BATCH, seed * 1000 + number).items():
            earns = luck.random() < chances[id[0]]
            charge = Charge(money=(prices or {}).get(id[0], 0.0) * luck.uniform(0.5, 1.5))
            before.append(
                past(by, Outcome.REPAIRED if earns else luck.choice([Outcome.ACCEPTED, Outcome.UNSURE]), charge)
            )
            letters.append(id[0])
    return letters


def regret(letters: Sequence[str], worth: Mapping[str, float]) -> float:
    """What the best arm alone would have earned more, on average."""
    return sum(max(worth.values()) - worth[letter] for letter in letters)


def bound(worth: Mapping[str, float], picks: int) -> float:
    """Lai and Robbins' (1985): no rule that is good for all arms has less regret in the long run."""
    best = max(worth.values())

    def apart(p: float) -> float:
        return p * log(p / best) + (1 - p) * log((1 - p) / (1 - best))

    return log(picks) * sum((best - p) / apart(p) for p in worth.values() if p < best)


@pytest.mark.parametrize(
    "chances", [{"a": 0.6, "b": 0.3}, {"a": 0.2, "b": 0.3, "c": 0.6}, {"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.4}]
)
def test_regret_against_the_best_arm_grows_slower_than_the_picks(chances: dict[str, float]) -> None:
    runs = [played(chances, 40, seed) for seed in range(20)]
    quarter, whole = (fmean(regret(run[:upto], chances) for run in runs) for upto in (10 * BATCH, 40 * BATCH))
    assert whole < 2 * quarter  # a regret that grows as the picks do is four times as large
    in_turn = fmean(max(chances.values()) - chance for chance in chances.values())
    # Until the first round has come back nothing is known: the bound holds for what comes after it.
    assert whole < bound(chances, 40 * BATCH) + BATCH * in_turn
    assert whole < 0.4 * in_turn * 40 * BATCH


def test_arms_that_earn_alike_share_the_picks() -> None:
    shares = [Counter(played({"a": 0.4, "b": 0.4}, 10, seed))["a"] / (10 * BATCH) for seed in range(30)]
    assert 0.35 < fmean(shares) < 0.65


def test_what_costs_more_must_earn_more() -> None:
    """Of 0.5 for 3 and 0.3 for 1 the second buys more for the money; at one price the first is better."""
    chances = {"a": 0.5, "b": 0.3}
    dear = [Counter(played(chances, 15, seed, {"a": 3.0, "b": 1.0}))["b"] for seed in range(10)]
    same = [Counter(played(chances, 15, seed, {"a": 2.0, "b": 2.0}))["b"] for seed in range(10)]
    assert fmean(dear) > 0.8 * 15 * BATCH
    assert fmean(same) < 0.3 * 15 * BATCH


def test_without_a_past_the_arms_take_turns() -> None:
    bandit = Bandit(arms=(Row(letter="a"), Row(letter="b"), Row(letter="c")))
    assert "".join(id[0] for id in bandit([], 7, Rng(0))) == "abcabca"


def test_prices_are_money_or_else_output_tokens_and_those_of_cached_replies_are_unknown() -> None:
    def share(first: Charge, second: Charge) -> float:
        names = list(picked(BANDIT, [], 2, 0).values())
        before = [
            past(name, Outcome.REPAIRED, charge)
            for name, charge in zip(names, (first, second), strict=True)
            for _ in range(40)
        ]
        return Counter(id[0] for id in picked(BANDIT, before, 400, 1))["a"] / 400

    assert share(Charge(money=3.0, tokens_out=1), Charge(money=1.0, tokens_out=9)) < 0.1
    assert share(Charge(tokens_out=9), Charge(tokens_out=3)) < 0.1
    assert 0.3 < share(Charge(), Charge()) < 0.7
    assert 0.3 < share(Charge(), Charge(money=1.0)) < 0.7


BANDIT = Bandit(arms=(Row(letter="a"), Row(letter="b")))


@pytest.mark.parametrize(
    ("outcome", "changed", "earns"),
    [
        (Outcome.REPAIRED, True, True),
        (Outcome.REPAIRED, False, True),
        (Outcome.REWRITTEN, True, True),
        (Outcome.REWRITTEN, False, False),
        (Outcome.ACCEPTED, False, False),
        (Outcome.WRONG_END, False, False),
    ],
)
def test_a_pick_earns_where_a_repair_was_kept(outcome: Outcome, changed: bool, earns: bool) -> None:
    name = next(iter(picked(BANDIT, [], 1, 0).values()))
    found = Counter(id[0] for id in picked(BANDIT, [past(name, outcome, changed=changed)] * 30, 100, 3))
    assert (found["a"] > 90) == earns
    assert (found["b"] > 90) == (not earns)


def candidate(id: str, aggregate: float, parts: Mapping[str, tuple[float, ...]], text: str = "1.") -> Candidate:
    problem = Problem(id=id, question="How many?", answer="5")
    chain: Chain = make_chain(
        text, problem, Numeric(), finished=True, sampling=Sampling(), seed=0, tokens=9, most_steps=12
    )  # fmt: skip
    scores = StepScores(parts=parts, steps=(), aggregate=aggregate, confidence=0.5)
    return Candidate(problem=problem, chain=chain, scores=scores)


POOL = [candidate(str(place), place / 9, {"intra": (1 - place / 9,), "inter": (0.5,)}) for place in range(9)]


def test_what_two_arms_would_pick_goes_to_the_one_whose_turn_it_is() -> None:
    bandit = Bandit(arms=(Top(), Part(name="intra")))
    assert picked(bandit, [], 4, 0, POOL) == {"8": "top", "0": "part", "7": "top", "1": "part"}
    assert picked(bandit, [], 9, 0, POOL) == dict(
        zip("807162534", ["top", "part"] * 4 + ["top"], strict=True)
    )  # fmt: skip


def test_arms_of_one_kind_are_told_apart() -> None:
    bandit = Bandit(arms=(Part(name="intra"), Part(name="inter"), Random()))
    assert list(picked(bandit, [], 3, 0, POOL).values()) == ["part 0", "part 1", "random"]


def test_a_part_ranks_by_its_mean_and_chains_without_steps_by_their_score() -> None:
    pool = [*POOL, candidate("silent", 1.0, {}, text="")]
    assert Part(name="intra")(pool, 9, Rng(0))[2:] == list("1234567")
    assert set(Part(name="intra")(pool, 2, Rng(0))) == {"0", "silent"}
    with pytest.raises(ConfigError, match=r"^selector\.name: the score has no part 'inner'; did you mean 'inter'\?$"):
        Part(name="inner")(POOL, 1, Rng(0))
    with pytest.raises(ConfigError, match=r"^selector\.name: the score has no part 'intra'; there are none$"):
        Part(name="intra")([candidate("whole", 0.5, {})], 1, Rng(0))


@pytest.mark.parametrize(
    ("arms", "told"),
    [
        ([], r"selector\.arms: must be two selectors at least, not 0"),
        (["top"], r"selector\.arms: must be two selectors at least, not 1"),
        ("top", r"selector\.arms: expected a list of selectors, got 'top'"),
        (["top", "topp"], r"selector\.arms\.1\.kind: unknown kind 'topp'; did you mean 'top'\?"),
        (["top", {"kind": "part"}], r"selector\.arms\.1\.name: Field required"),
        (["top", "random", "top"], r"selector\.arms\.2: must be another selector than those before it"),
        (["top", "bandit"], r"selector\.arms\.1: must be a selector of another kind"),
        (
            ["core_set", {"kind": "badge", "encoder": {"model": "m"}}],
            r"selector\.arms\.1\.encoder: must be that of the arms before it",
        ),
    ],
)
def test_arms_that_cannot_share_the_picks_are_named(arms: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{told}"):
        build("elad.selection", {"kind": "bandit", "arms": arms}, "selector")


def test_the_arms_stand_in_the_configuration() -> None:
    bandit = build("elad.selection", {"kind": "bandit", "arms": ["random", "core_set"]}, "selector")
    assert bandit == Bandit(arms=(Random(), CoreSet()))
    assert not bandit.needs_scores
    assert bandit.encoder == CoreSet().encoder
