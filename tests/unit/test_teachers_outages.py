"""What an endpoint that is out of order means: for one request, or for all of them."""

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import urlsplit

import pytest
from chat_kit import ChatServer, ask, completion, failure, opened, request, serving

from elad.errors import TeacherError
from elad.outcomes import ReplyOutcome
from elad.teachers import call, dispatch, pace
from elad.teachers.dispatch import Later


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    yield from serving(monkeypatch)


class Clock:
    """Time that moves by a step at each look."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def test_a_quota_that_is_used_up_ends_the_asking_and_long_pauses_are_told(
    serve: Callable[..., ChatServer], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "SLICE_SECONDS", 0.0)
    endpoint = serve(failure(429, "used up", **{"Retry-After": "100"}))
    with opened(endpoint) as teacher:
        teacher.pace = pace.Pace(4, Clock(30.0), tell=teacher.tell_pause)
        with pytest.raises(TeacherError, match=r"429.*nothing else for \d+ s"):
            list(teacher.ask([request()]))
    assert len(endpoint.asked) > 1
    assert f"{endpoint.base_url}: asks for a pause of 100 s" in caplog.messages


def test_a_long_pause_of_an_endpoint_out_of_order_is_the_paces(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve(failure(503, "loading", **{"Retry-After": "300"}))
    with opened(endpoint) as teacher:
        teacher.pace = pace.Pace(4, Clock(0.0))
        result = call.Call(teacher, request(), threading.Event()).reply()
        assert isinstance(result, Later)
        assert (len(endpoint.asked), teacher.pace.hold_seconds) == (1, 300.0)


def test_a_long_pause_is_waited_for_although_nothing_was_answered_yet(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "SLICE_SECONDS", 0.0)
    endpoint = serve(failure(503, "loading", **{"Retry-After": "300"}), completion("4"))
    with opened(endpoint, attempts=1) as teacher:
        teacher.pace = pace.Pace(1, Clock(30.0))
        assert [reply.text for reply in teacher.ask([request()])] == ["4"]


def test_long_pauses_without_end_end_the_asking(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "SLICE_SECONDS", 0.0)
    endpoint = serve(failure(503, "maintenance", **{"Retry-After": "300"}))
    with opened(endpoint) as teacher:
        teacher.pace = pace.Pace(4, Clock(30.0))
        with pytest.raises(TeacherError, match=r"503.*nothing else for \d+ s"):
            list(teacher.ask([request()]))
    assert len(endpoint.asked) > 2


def test_limits_told_with_a_failure_are_no_pause(serve: Callable[..., ChatServer]) -> None:
    """Some endpoints tell with every answer when their limits are renewed, also where those are far."""
    endpoint = serve(failure(500, "oops", **{"x-ratelimit-reset-tokens": "6m0s"}), completion("4"))
    with opened(endpoint) as teacher:
        teacher.pace = pace.Pace(4, Clock(0.0))
        assert [reply.text for reply in teacher.ask([request()])] == ["4"]


def test_an_endpoint_that_answers_rubbish_is_paused(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve((200, {}, b"<html>welcome</html>"))
    with opened(endpoint) as teacher:
        teacher.pace = pace.Pace(1, Clock(0.0))
        lost = list(islice(teacher.ask(request(f"{n}?") for n in range(3)), 3))
        assert [reply.outcome for reply in lost] == [ReplyOutcome.LOST] * 3
        assert teacher.pace.hold_seconds > 0


def test_a_gateway_that_gave_up_waiting_may_have_been_billed(serve: Callable[..., ChatServer]) -> None:
    for status in (408, 504, 524):
        endpoint = serve(failure(status, "upstream timed out"))
        (reply,) = ask(endpoint)
        assert (reply.outcome, len(endpoint.asked)) == (ReplyOutcome.LOST, 1)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_turned_down_is_no_sign_of_an_outage(serve: Callable[..., ChatServer], status: int) -> None:
    replies = ask(serve(failure(status, "too long")), *(request(f"{n}?") for n in range(20)))
    assert {reply.outcome for reply in replies} == {ReplyOutcome.REJECTED}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_PAUSE_AFTER", 1000)


@pytest.mark.usefixtures("_quick")
def test_an_endpoint_that_has_answered_before_is_waited_for(serve: Callable[..., ChatServer]) -> None:
    endpoint = serve(script=lambda n, _: failure(500, "restarting") if 1 <= n < 15 else completion(str(n)))
    replies = ask(endpoint, *(request(f"{n}?") for n in range(4)), concurrency=1)
    assert [reply.outcome for reply in replies] == [ReplyOutcome.OK] * 4


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(("headers", "sent"), [({}, 6), ({"Retry-After": "300"}, 2)], ids=["plain", "pause"])
def test_a_request_that_fails_where_others_are_answered_fails(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], sent: int
) -> None:
    monkeypatch.setattr(pace, "_MOST_ASKED_SECONDS", 0.0)
    bad = {"role": "user", "content": "bad?"}
    endpoint = serve(script=lambda _, body: failure(500, "no", **headers) if bad in body["messages"] else completion())
    replies = ask(endpoint, request("good?"), request("bad?"), request("good too?"), concurrency=1)
    assert [reply.outcome for reply in replies] == [ReplyOutcome.OK, ReplyOutcome.OK, ReplyOutcome.FAILED]
    assert sum(bad in body["messages"] for body in endpoint.asked) == sent


@pytest.mark.usefixtures("_quick")
def test_a_server_that_restarts_is_waited_for(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port refuses connections until something listens there again."""
    first = serve(completion("1"))
    with opened(first, concurrency=1) as teacher:
        assert [reply.text for reply in teacher.ask([request("1?")])] == ["1"]
        first.close()
        refused: list[None] = []
        failed = teacher.pace.failed

        def noted() -> None:
            failed()
            refused.append(None)
            if len(refused) == 3:
                second.append(ChatServer(lambda n, _: completion("2"), port=urlsplit(first.base_url).port or 0))

        second: list[ChatServer] = []
        monkeypatch.setattr(teacher.pace, "failed", noted)
        assert [reply.text for reply in teacher.ask([request("2?")])] == ["2"]
        assert len(refused) == 3
    second[0].close()
