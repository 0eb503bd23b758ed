from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_model
from chat_kit import CANARY, PRICE, Answer, ChatServer, ask, completion, failure, request, serving
from transformers import AutoTokenizer

from elad.outcomes import ReplyOutcome
from elad.records import Sampling
from elad.teachers.answers import MOST_TEXT_BYTES


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ChatServer]]:
    yield from serving(monkeypatch)


def test_an_answer_is_charged_by_the_price_list(serve: Callable[..., ChatServer]) -> None:
    endpoint, asked = serve(completion("4")), request("y" * 90)
    (reply,) = ask(endpoint, asked, price=PRICE)
    assert (reply.outcome, reply.text, reply.reason) == (ReplyOutcome.OK, "4", "")
    assert reply.request == asked.key
    assert reply.teacher == "openai:m"
    charge = reply.charge
    assert (charge.calls, charge.tokens_in, charge.tokens_cached, charge.tokens_out) == (1, 100, 40, 10)
    assert charge.money == pytest.approx((60 * 1.0 + 40 * 0.5 + 10 * 2.0) / 1e6)
    assert (charge.currency, charge.price_version) == ("USD", PRICE.version)
    assert not charge.estimated
    assert charge.seconds > 0
    assert endpoint.headers[0]["authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    "said",
    [
        completion(f"My key is {CANARY}.\nIt is {CANARY}."),
        completion(" " * (MOST_TEXT_BYTES - 9) + CANARY),
        completion(None, refusal=f"Not with {CANARY}" + "x" * 150 + CANARY),
        (200, {}, {**completion()[2], "model": "x" * 70 + CANARY}),
        (200, {}, {**completion()[2], "model": CANARY}),
        failure(400, "x" * 290 + CANARY),
        (400, {}, f"<p>{CANARY}</p>".encode()),
        (400, {}, b"x" * (256 * 1024 - 9) + CANARY.encode()),
    ],
)
def test_an_echoed_key_is_in_no_reply_not_even_a_part(serve: Callable[..., ChatServer], said: Answer) -> None:
    (reply,) = ask(serve(said), attempts=1)
    assert CANARY[:9] not in repr(reply)


def test_a_word_that_stands_for_no_key_stays_in_the_text(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (reply,) = ask(serve(completion("There are none.\n\nThe answer is 0.")))
    assert reply.text == "There are none.\n\nThe answer is 0."


def test_a_text_without_end_is_cut(serve: Callable[..., ChatServer]) -> None:
    (reply,) = ask(serve(completion("é" * 50_000)))
    assert (reply.outcome, reply.text) == (ReplyOutcome.TRUNCATED, "é" * (MOST_TEXT_BYTES // 2))
    assert str(MOST_TEXT_BYTES) in reply.reason


def test_all_that_is_to_be_said_of_a_reply_is_said(serve: Callable[..., ChatServer]) -> None:
    status, headers, body = completion("The ans", "length", usage=None)
    turned_down = failure(400, "Unsupported value: 'temperature' does not support 0.0 with this model.")
    (reply,) = ask(serve(turned_down, (status, headers, {**body, "model": "another"})))
    for part in ("max_tokens", "told no usage", "answered by 'another'", "turned down: sampling"):
        assert part in reply.reason


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "total", "noted"),
    [(37, 5, 42, False), (37, 5, None, False), (37, 6, 43, True), (38, 5, 43, True), (10, 5, 99, True)],
)
def test_a_bill_above_the_reservation_is_noted(
    serve: Callable[..., ChatServer], tokens_in: int, tokens_out: int, total: int | None, noted: bool
) -> None:
    asked = request("y" * 21, sampling=Sampling(max_tokens=5))
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": total}
    (reply,) = ask(serve(completion(usage=usage)), asked)
    assert ("more than the 37 + 5 that were reserved" in reply.reason) is noted
    assert reply.charge.tokens_in + reply.charge.tokens_out == (total or tokens_in + tokens_out)


@pytest.mark.parametrize(("tokens_in", "tokens_out"), [(0, 0), (37, 0), (0, 5)])
def test_a_usage_of_zeros_is_not_believed(serve: Callable[..., ChatServer], tokens_in: int, tokens_out: int) -> None:
    asked = request("y" * 21, sampling=Sampling(max_tokens=5))
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    (reply,) = ask(serve(completion("4", usage=usage)), asked, price=PRICE)
    assert (reply.charge.tokens_in, reply.charge.tokens_out, reply.charge.estimated) == (37, 5, True)
    assert reply.charge.money == pytest.approx((37 * 1.0 + 5 * 2.0) / 1e6)
    assert "told no usage that can be" in reply.reason


def test_a_truncated_reply_keeps_its_text_and_is_paid_for(serve: Callable[..., ChatServer]) -> None:
    (reply,) = ask(serve(completion("The ans", "length")), price=PRICE)
    assert (reply.outcome, reply.text, reply.charge.tokens_out) == (ReplyOutcome.TRUNCATED, "The ans", 10)
    assert reply.charge.money > 0


def test_without_usage_the_worst_case_is_charged(serve: Callable[..., ChatServer]) -> None:
    asked = request("y" * 21, sampling=Sampling(max_tokens=9))
    (reply,) = ask(serve(completion("x" * 10, usage=None)), asked, price=PRICE)
    charge = reply.charge
    assert (charge.estimated, charge.tokens_in, charge.tokens_out) == (True, 37, 9)
    assert charge.money > 0


def test_without_usage_a_known_tokenizer_counts(serve: Callable[..., ChatServer], tmp_path: Path) -> None:
    known = AutoTokenizer.from_pretrained(str(tiny_model.save(tmp_path / "tiny")))
    asked = request("12 + 9 = 21. How many?", sampling=Sampling(max_tokens=64))
    text = "9 + 9 = 18.\nThe answer is 18."
    replies = [
        ask(serve(completion(text, usage=usage)), asked, price=PRICE, tokenizer=str(tmp_path / "tiny"))[0]
        for usage in (None, {"prompt_tokens": "many"})
    ]
    turns = [{"role": message.role, "content": message.content} for message in asked.messages]
    frame = known.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    for reply in replies:
        assert (reply.charge.tokens_in, reply.charge.tokens_out) == (len(frame), len(known(text)["input_ids"]) + 1)
        assert reply.charge.estimated
        assert "counted here" in reply.reason
        assert reply.charge.money == PRICE.money(tokens_in=len(frame), tokens_out=reply.charge.tokens_out)


@pytest.mark.parametrize(("said", "noted"), [("m", False), ("m-2026-11-01", False), ("another", True), (7, False)])
def test_another_model_than_was_asked_for_is_noted(serve: Callable[..., ChatServer], said: object, noted: bool) -> None:
    status, headers, body = completion("4")
    (reply,) = ask(serve((status, headers, {**body, "model": said})))
    assert reply.outcome is ReplyOutcome.OK
    assert ("answered by 'another', asked was 'm'" in reply.reason) is noted
