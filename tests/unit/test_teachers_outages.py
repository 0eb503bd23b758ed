"""What an endpoint that is out of order means: for one request, or for all of them."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from chat_kit import ChatServer, ask, completion, failure, opened, request, serving

from elad.errors import TeacherError
from elad.outcomes import ReplyOutcome
from elad.teachers import dispatch, pace


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
    monkeypatch.setattr(dispatch, "_SLICE_SECONDS", 0.0)
    endpoint = serve(failure(429, "used up", **{"Retry-After": "100"}))
    with opened(endpoint) as teacher:
        teacher.pace = pace.Pace(4, Clock(30.0), tell=teacher.tell_pause)
        with pytest.raises(TeacherError, match=r"429.*nothing else for \d+ s"):
            list(teacher.ask([request()]))
    assert len(endpoint.asked) > 1
    assert f"{endpoint.base_url}: asks for a pause of 100 s" in caplog.messages


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
def test_a_request_that_fails_where_others_are_answered_fails(serve: Callable[..., ChatServer]) -> None:
    bad = {"role": "user", "content": "bad?"}
    endpoint = serve(script=lambda _, body: failure(500, "no") if bad in body["messages"] else completion())
    replies = ask(endpoint, request("good?"), request("bad?"), request("good too?"), concurrency=1)
    assert [reply.outcome for reply in replies] == [ReplyOutcome.OK, ReplyOutcome.OK, ReplyOutcome.FAILED]
    assert sum(bad in body["messages"] for body in endpoint.asked) == 6


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
