import json
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import DataError
from elad.testing import TRANSIENT, Books, Fault, Tally, read_log
from elad.testing.books import Bookkeeper, Entry
from elad.testing.faults import Plan
from elad.testing.limits import Bucket, duration

FACTS = {
    Entry.ARRIVED: {"in_service": 2},
    Entry.FAULT: {"fault": Fault.SLOW},
    Entry.REFUSED: {"status": 429},
    Entry.BILLED: {"tokens_in": 3, "tokens_out": 5, "money": 0.25},
    Entry.REPLAYED: {},
    Entry.ANSWERED: {},
}
ENTRIES = st.lists(st.tuples(st.sampled_from(Entry), st.sampled_from(["a", "b"])))


def write(path: Path | None, entries: list[tuple[Entry, str]]) -> Books:
    keeper = Bookkeeper(path)
    for entry, digest in entries:
        keeper.note(entry, digest, **FACTS[entry])
    keeper.close()
    return keeper.books()


@given(entries=ENTRIES)
def test_the_log_says_what_the_books_say(
    entries: list[tuple[Entry, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("log") / "books.jsonl"
    books = write(log, entries)
    assert read_log(log) == books == write(None, entries)
    counts = Counter(entries)
    assert books.requests == {
        digest: Tally(
            arrived=counts[Entry.ARRIVED, digest],
            billed=counts[Entry.BILLED, digest],
            answered=counts[Entry.ANSWERED, digest],
        )
        for digest in {digest for _, digest in entries}
    }
    assert books.tokens_out == 5 * books.billed
    assert books.money == 0.25 * books.billed


@given(entries=ENTRIES, cut=st.integers(0, 200))
def test_an_unfinished_line_is_left_out_and_written_over(
    entries: list[tuple[Entry, str]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("log") / "books.jsonl"
    write(log, entries)
    torn = log.read_bytes()[: -cut or None]
    log.write_bytes(torn)
    whole = entries[: torn.count(b"\n")]
    assert read_log(log) == write(None, whole)
    write(log, [(Entry.REPLAYED, "c")])
    assert read_log(log) == write(None, [*whole, (Entry.REPLAYED, "c")])


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", '{"entry": "lunch", "request": "a"}', '{"entry": "billed", "request": "a"}']
)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str) -> None:
    log = tmp_path / "books.jsonl"
    log.write_text(json.dumps({"entry": "answered", "request": "a"}) + f"\n{line}\n")
    with pytest.raises(DataError, match=r"books\.jsonl:2: "):
        read_log(log)


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    keeper = Bookkeeper(tmp_path / "log")
    notes = [threading.Thread(target=lambda: [keeper.note(Entry.ANSWERED, "a") for _ in range(200)]) for _ in range(8)]
    for thread in notes:
        thread.start()
    for thread in notes:
        thread.join()
    keeper.close()
    assert keeper.books().answered == 1600
    assert read_log(tmp_path / "log") == keeper.books()


SHARES = st.dictionaries(st.sampled_from(Fault), st.floats(0, 1 / len(Fault)))


@given(seed=st.integers(0, 99), shares=SHARES, order=st.lists(st.sampled_from("abcd")), data=st.data())
def test_a_lot_depends_on_seed_content_and_number_alone(
    seed: int, shares: dict[Fault, float], order: list[str], data: st.DataObject
) -> None:
    def lots(order: list[str]) -> dict[str, list[Fault | None]]:
        plan = Plan(seed, (), shares)
        found: dict[str, list[Fault | None]] = {}
        for digest in order:
            found.setdefault(digest, []).append(plan.draw(digest))
        return found

    assert lots(order) == lots(data.draw(st.permutations(order)))


@given(share=st.floats(0, 1), fault=st.sampled_from(Fault))
def test_lots_keep_to_their_share(share: float, fault: Fault) -> None:
    plan = Plan(0, (), {fault: share})
    met = [plan.draw(str(n % 7)) for n in range(400)]
    assert set(met) <= {fault, None}
    assert met.count(fault) == pytest.approx(400 * share, abs=60)


@given(script=st.lists(st.none() | st.sampled_from(Fault)), digests=st.lists(st.sampled_from("ab"), min_size=30))
def test_the_script_comes_first(script: list[Fault | None], digests: list[str]) -> None:
    plan, bare = Plan(0, script, 1.0), Plan(0, (), 1.0)
    met = [plan.draw(digest) for digest in digests]
    by_lot = [bare.draw(digest) for digest in digests]
    assert met == [*script, *by_lot[len(script) :]][: len(digests)]
    assert set(by_lot) <= TRANSIENT


@given(rate=st.floats(0.1, 100), gaps=st.lists(st.floats(0, 3), max_size=200))
def test_a_bucket_lets_through_its_size_and_its_rate(rate: float, gaps: list[float]) -> None:
    bucket, now, taken = Bucket(rate), 0.0, 0
    size = int(dict(bucket.headers)["x-ratelimit-limit-requests"])
    for gap in gaps:
        now += gap
        if bucket.take(now):
            taken += 1
        else:
            assert 0 < bucket.seconds_to_room <= 1 / rate
        assert 0 <= int(dict(bucket.headers)["x-ratelimit-remaining-requests"]) < max(2, size)
    assert taken <= size + now * rate + 1e-6
    assert bucket.take(now + bucket.seconds_to_room + 1e-6)


@given(seconds=st.floats(0, 1e6))
def test_a_duration_is_rounded_up_to_milliseconds(seconds: float) -> None:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    text, total = duration(seconds), 0.0
    while text:
        number = next(text[:n] for n in range(len(text), 0, -1) if text[:n].replace(".", "").isdigit())
        unit = next(unit for unit in units if text[len(number) :].startswith(unit))
        total += float(number) * units[unit]
        text = text[len(number) + len(unit) :]
    assert seconds - 1e-6 <= total <= seconds + 0.001 + 1e-6
