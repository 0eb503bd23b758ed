"""Feeds: what a batch is made of, drawn by the seed alone."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.experiment import Experiment
from elad.kinds import build, describe, kinds
from elad.learning import AdaptiveFeed, Feed
from elad.records import Example, Message, Sampling
from elad.sample import folder
from elad.training.feeds.off_policy import OffPolicy, Replaying
from elad.training.feeds.on_policy import OnPolicy

ROOM = "elad.training.feeds"
seeds = st.integers(0, 2**31)
shares = st.floats(0, 1)


def examples(count: int) -> list[Example]:
    return [
        Example(
            problem_id=str(i), messages=(Message(role="user", content=str(i)),), target=f"bought {i}", source="repaired"
        )
        for i in range(count)
    ]


class Writer:
    """Says which question it answers and by which seed; every so many-th answer is cut off."""

    def __init__(self, cut: int = 0) -> None:
        self.cut = cut
        self.asked: list[tuple[str, int]] = []

    def __call__(self, some: Sequence[Example], sampling: Sampling, lots: Sequence[int]) -> list[str | None]:
        texts: list[str | None] = []
        for one, lot in zip(some, lots, strict=True):
            self.asked.append((one.problem_id, lot))
            off = self.cut and len(self.asked) % self.cut == 0
            texts.append(None if off else f"own {one.problem_id} {lot}")
        return texts


def begun(feed: Any) -> Feed:
    return feed.begun() if isinstance(feed, AdaptiveFeed) else feed


def fed(
    feed: Any, seed: int, writer: Writer | None = None, losses: Sequence[float] = (1.0, 2.0)
) -> list[list[Example]]:
    """What three epochs of two batches are made of."""
    live, rng, write, batches = begun(feed), Random(seed), writer or Writer(), list[list[Example]]()
    for loss in (1.0, 2.0, 3.0):
        for half in (examples(8)[:4], examples(8)[4:]):
            batches.append(live(half, write, len(batches) / 6, rng))
        if isinstance(live, Replaying):
            live.validated(loss)
    return batches


@pytest.mark.parametrize("feed", [OnPolicy(), OffPolicy(share=0.4, capacity=3)])
@given(seed=seeds)
def test_equal_seeds_feed_equally_and_what_is_given_stays(feed: Any, seed: int) -> None:
    given_, before = examples(4), examples(4)
    begun(feed)(given_, Writer(), 0.5, Random(seed))
    assert given_ == before
    assert fed(feed, seed) == fed(feed, seed)
    assert all(len(batch) == 4 for batch in fed(feed, seed))


def test_a_training_leaves_nothing_in_the_feed_for_the_next() -> None:
    feed = OffPolicy(share=1.0, capacity=4)
    first, second = feed.begun(), feed.begun()
    first(examples(4), Writer(), 0.0, Random(1))
    first.validated(1.0)
    first.validated(9.0)
    assert (len(first.buffer), len(second.buffer), second.mark, feed) == (4, 0, None, OffPolicy(share=1.0, capacity=4))


@given(seed=seeds, done=shares)
def test_a_share_of_nothing_feeds_what_was_bought_and_asks_nobody(seed: int, done: float) -> None:
    write = Writer()
    assert OffPolicy().begun()(examples(9), write, done, Random(seed)) == examples(9)
    assert write.asked == []


@given(seed=seeds)
def test_all_are_written_anew_until_the_buffer_is_full_and_then_fewer_and_fewer(seed: int) -> None:
    feed, rng, write = OffPolicy(share=1.0, capacity=6).begun(), Random(seed), Writer()
    batch = feed(examples(8), write, 1.0, rng)
    assert [problem for problem, _ in write.asked] == [str(i) for i in range(6)]
    assert list(feed.buffer) == batch[:6]
    assert batch[6:] == examples(8)[6:]  # there was nothing to draw when the batch began
    known = list(feed.buffer)
    again = feed(examples(8), write, 1.0, rng)
    assert len(write.asked) == 6
    assert all(one in known for one in again)
    feed(examples(8), write, 0.0, rng)
    assert len(write.asked) == 14
    assert len(feed.buffer) == 6
    assert all(one.source == "student" and one.target.startswith(f"own {one.problem_id} ") for one in feed.buffer)


def test_what_is_written_anew_falls_with_the_time_and_what_is_the_students_does_not() -> None:
    counts: list[tuple[float, float]] = []
    for done in (0.0, 0.5, 0.9):
        feed, write = OffPolicy(share=0.6, capacity=1).begun(), Writer()
        feed.buffer.append(Example(problem_id="x", messages=(), target="kept", source="student"))
        batch = feed(examples(4000), write, done, Random(3))
        counts.append((len(write.asked) / 4000, sum(one.source == "student" for one in batch) / 4000))
    fresh, own = zip(*counts, strict=True)
    assert fresh == pytest.approx((0.6, 0.3, 0.06), abs=0.03)
    assert own == pytest.approx((0.6, 0.6, 0.6), abs=0.03)


@given(seed=seeds)
def test_what_is_cut_off_is_neither_fed_nor_kept(seed: int) -> None:
    feed = OffPolicy(share=1.0).begun()
    batch = feed(examples(9), Writer(cut=3), 0.0, Random(seed))
    bought = [one for one in batch if one.source != "student"]
    assert [one.target for one in bought] == ["bought 2", "bought 5", "bought 8"]
    assert len(feed.buffer) == 6


@pytest.mark.parametrize(
    ("losses", "share"),
    [
        ([2.0], 0.0),
        ([2.0, 2.05], 0.0),
        ([2.0, 2.11], 0.25),
        ([2.0, 1.0, 2.05], 0.0),  # held against the first, not against the lowest
        ([2.0, 2.2, 2.25], 0.25),  # and from then on against that at which it rose
        ([2.0, 2.2, 2.4], 0.5),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 1.0),
    ],
)
def test_the_share_rises_when_the_validation_loss_does(losses: list[float], share: float) -> None:
    feed = OffPolicy(rise=0.25, tolerance=0.1).begun()
    for loss in losses:
        feed.validated(loss)
    assert feed.share == pytest.approx(share)


@pytest.mark.parametrize("kind", kinds(ROOM))
def test_settings_are_written_down_and_built_again(kind: str) -> None:
    feed = build(ROOM, {"kind": kind, "share": 0.25}, "feed")
    assert build(ROOM, describe(feed), "feed") == feed


@pytest.mark.parametrize("bad", [{"share": 1.5}, {"rise": 0}, {"tolerance": -1}, {"capacity": 0}, {"max_tokens": 0}])
def test_settings_that_cannot_be_used_are_named(bad: dict[str, Any]) -> None:
    (key,) = bad
    with pytest.raises(ConfigError, match=rf"feed\.{key}"):
        build(ROOM, {"kind": "off_policy", **bad}, "feed")


def test_a_feed_that_goes_by_validation_is_refused_where_there_is_none() -> None:
    raw: dict[str, Any] = {
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl"},
        "task": "numeric",
        "student": {"engine": "fake"},
        "teacher": "fake",
        "feed": "off_policy",
    }
    with pytest.raises(ConfigError, match=r"feed: 'off_policy' goes by the validation loss.*training\.patience"):
        Experiment.of(raw, base=folder())
    assert Experiment.of({**raw, "training": {"patience": 2}}, base=folder()).feed == OffPolicy()
