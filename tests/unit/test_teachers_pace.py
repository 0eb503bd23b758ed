"""The window of requests: finds the endpoint's limit, stays close to it, obeys headers."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from elad.teachers.pace import FIRST_WINDOW, Pace, duration

ROUND_SECONDS = 0.05


class Clock:
    """Time that only moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rounds(pace: Pace, clock: Clock, limit: int, count: int) -> tuple[list[int], int]:
    """An endpoint that serves `limit` at once and refuses the rest, round by round: served, refused."""
    served: list[int] = []
    refused = 0
    for _ in range(count):
        running = pace.room(0)
        started = clock.now
        clock.now += ROUND_SECONDS
        served.append(min(running, limit))
        for _ in range(served[-1]):
            pace.answered({}, 0.1)
        for _ in range(max(0, running - limit)):
            refused += 1
            pace.refused({}, started)
    return served, refused


def stream(
    pace: Pace, clock: Clock, limit: int, latency: float, seconds: float, pause: int | None
) -> tuple[list[float], list[float]]:
    """The same as time goes on, each answer after its latency, a refusal at once: when it served, when it refused."""
    running: list[float] = []
    served, refused, end = list[float](), list[float](), clock.now + seconds
    headers = {} if pause is None else {"retry-after": str(pause)}
    while clock.now < end:
        while pace.room(len(running)):
            if len(running) < limit:
                running.append(clock.now + latency * (1 + 0.01 * (len(served) + len(running)) % 0.1))
            else:
                refused.append(clock.now)
                pace.refused(headers, clock.now)
                clock.now += 0.001
        clock.now = min(running, default=clock.now + pace.hold_seconds + 0.001)
        if clock.now in running:
            running.remove(clock.now)
            served.append(clock.now)
            pace.answered({}, latency)
    return served, refused


@settings(max_examples=40)
@given(limit=st.integers(1, 200), most=st.integers(1, 300))
def test_the_window_finds_the_limit_and_stays_close(limit: int, most: int) -> None:
    clock = Clock()
    pace = Pace(most, clock)
    rounds(pace, clock, limit, 200)
    served, refused = rounds(pace, clock, limit, 400)
    assert max(served) <= most
    if limit >= 20:
        assert sum(served) >= 0.9 * min(limit, most) * len(served)
        assert refused <= 0.01 * sum(served)


@given(slots=st.integers(1, 64), service=st.floats(0.01, 0.1))
@example(slots=1, service=0.09375)
def test_an_endpoint_that_lets_requests_wait_is_not_led_into_its_time_out(slots: int, service: float) -> None:
    clock, waited = Clock(), list[float]()
    pace = Pace(64, clock, timeout_seconds=1.0)
    for _ in range(60):
        running, started = pace.room(0), clock.now
        for place in range(1, running + 1):
            waited.append(math.ceil(place / slots) * service)
            clock.now = started + waited[-1]
            pace.answered({}, waited[-1])
    first = math.ceil(FIRST_WINDOW / slots) * service  # what was sent before anything was known of it
    assert max(waited) <= max(1.0, first)
    assert pace.room(0) >= min(slots, 64) * 0.9


def test_slow_is_not_queued() -> None:
    pace = Pace(64, Clock(), timeout_seconds=1.0)
    for _ in range(100):
        pace.answered({}, 0.9)
    assert pace.room(0) == 64


def test_a_request_that_is_turned_down_says_nothing_of_how_long_answers_take() -> None:
    pace = Pace(64, Clock(), timeout_seconds=1.0)
    pace.answered({}, None)
    for _ in range(100):
        pace.answered({}, 0.9)
    assert pace.room(0) == 64


def test_against_a_limit_of_64_the_targets_are_met() -> None:
    clock = Clock()
    pace = Pace(256, clock)
    rounds(pace, clock, 64, 25)  # 10 s of answers that take 0.4 s
    for count in (50, 2000):
        served, refused = rounds(pace, clock, 64, count)
        assert sum(served) >= 0.95 * 64 * len(served)
        assert refused < 0.01 * sum(served)


@pytest.mark.parametrize("pause", [None, 1])
def test_a_limit_that_is_met_while_answers_trickle_in_is_come_back_to_within_ten_seconds(pause: int | None) -> None:
    clock = Clock()
    served, refused = stream(Pace(256, clock), clock, 64, 0.4, 120, pause)
    late = [at for at in served if at > 110]
    assert len(late) >= 0.95 * 110 * 64 / (0.4 * 1.045)
    assert len([at for at in late if at < 120]) >= 0.9 * 10 * 64 / (0.4 * 1.045)
    assert len([at for at in refused if at > 110]) < 0.01 * len(late)


def test_one_burst_of_refusals_shrinks_once() -> None:
    clock = Clock()
    pace = Pace(64, clock)
    for _ in range(60):
        pace.answered({}, 0.1)
    started = clock.now
    clock.now += ROUND_SECONDS
    for _ in range(30):
        pace.refused({}, started)
    assert pace.room(0) == 32


@pytest.mark.parametrize(
    ("header", "seconds"), [("2", 2.0), ("1.5", 1.5), ("900", 900.0), ("999999", 3600.0), ("Wed, 21 Oct", 0.0)]
)
def test_retry_after_is_obeyed_within_bounds(header: str, seconds: float) -> None:
    clock = Clock()
    pace = Pace(8, clock)
    pace.refused({"retry-after": header}, clock.now)
    assert pace.hold_seconds == pytest.approx(seconds)
    assert (pace.room(0) == 0) == (seconds > 0)
    clock.now += seconds
    assert pace.hold_seconds == 0
    assert pace.room(0) > 0


def test_the_last_allowed_request_holds_until_the_reset() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    pace.answered({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1m"}, 0.1)
    assert pace.hold_seconds == 0
    pace.answered({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"}, 0.1)
    assert pace.hold_seconds == pytest.approx(60)


def test_refusals_without_an_answer_wait_longer_and_longer() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    holds: list[float] = []
    for _ in range(12):
        clock.now += 1e-3
        pace.refused({}, clock.now)
        holds.append(pace.hold_seconds)
        clock.now += pace.hold_seconds
    assert holds == sorted(holds)
    assert holds[-1] == 60
    assert pace.room(0) == 1


def test_an_endpoint_that_only_fails_is_paused() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    pace.failed()
    pace.failed()
    assert pace.hold_seconds == 0
    pace.failed()
    assert pace.hold_seconds == pytest.approx(1)
    pace.failed()
    assert pace.hold_seconds == pytest.approx(2)
    pace.answered({}, 0.1)
    clock.now += 2
    pace.failed()
    assert pace.hold_seconds == 0


def test_refusals_and_nothing_else_for_ten_minutes_is_stuck() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    pace.answered({}, 0.1)
    clock.now += 1200  # of training, when nothing is asked
    pace.refused({}, clock.now)
    assert pace.stuck_seconds is None
    clock.now += 700
    pace.refused({}, clock.now)
    assert pace.stuck_seconds == pytest.approx(700)
    pace.answered({}, 0.1)
    assert pace.stuck_seconds is None


def test_a_pause_that_was_asked_for_is_not_stuck() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    pace.refused({"retry-after": "1800"}, clock.now)
    clock.now += 1801
    pace.refused({"retry-after": "1800"}, clock.now)
    assert pace.stuck_seconds is None


@given(asked=st.floats(5, 200_000), header=st.sampled_from(["retry-after", "x-ratelimit-reset-requests"]))
def test_pauses_that_are_asked_for_again_and_again_come_to_an_end(asked: float, header: str) -> None:
    clock = Clock()
    pace = Pace(8, clock)
    began, said = clock.now, f"{asked:.3f}"
    while pace.stuck_seconds is None:
        pace.refused({header: said}, clock.now)
        clock.now += pace.hold_seconds
        assert clock.now - began < 600 + 86_400 + 2 * 3600
    assert clock.now - began > 600 + min(float(said), 86_400)


def test_an_answer_ends_the_count_of_pauses() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    for _ in range(20):
        pace.refused({"retry-after": "300"}, clock.now)
        clock.now += 300
        assert pace.stuck_seconds is None
        pace.answered({}, 0.1)


@pytest.mark.parametrize(("asked", "told"), [("60", []), ("90", [90.0]), ("999999", [3600.0])])
def test_a_pause_of_more_than_a_minute_is_told_once(asked: str, told: list[float]) -> None:
    clock, heard = Clock(), list[float]()
    pace = Pace(8, clock, tell=heard.append)
    for _ in range(4):
        pace.refused({"retry-after": asked}, clock.now)
        clock.now += 0.5
    assert heard == told
    clock.now += 4000
    pace.refused({"retry-after": asked}, clock.now)
    assert heard == told * 2


def test_a_failure_may_pass_where_the_endpoint_has_answered_before_and_not_for_ever() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    assert not pace.passing()  # never heard of: most likely a wrong address
    pace.answered({}, 0.1)
    clock.now += 3600
    assert pace.passing()
    pace.failed()
    clock.now += 599
    assert pace.passing(since=clock.now - 500)
    clock.now += 2
    assert not pace.passing()
    pace.answered({}, 0.1)
    assert pace.passing()
    assert not pace.passing(since=clock.now - 500)  # others were answered meanwhile


def test_a_limit_on_tokens_holds_until_its_reset() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    pace.answered({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 0.1)
    assert pace.hold_seconds == pytest.approx(360)


@given(st.floats(0, 3000), st.sampled_from(["", "s"]))
def test_plain_seconds_come_back(seconds: float, unit: str) -> None:
    assert duration(f"{seconds:.3f}{unit}") == pytest.approx(seconds, abs=1e-3)


@given(st.text(max_size=20))
def test_no_text_breaks_the_reading_of_a_duration(text: str) -> None:
    read = duration(text)
    assert read is None or read >= 0
