"""The doctor in front of servers that are well, and of servers in which one thing is wrong."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from doctor_kit import CANARY, MODEL, Answer, able, finding, line, looked, refuses, says, verdicts

from elad.doctor import endpoint as looking
from elad.doctor.finding import Verdict
from elad.doctor.probes import PROBES
from elad.ledger.prices import Price
from elad.records import to_json
from elad.teachers.capabilities import known
from elad.teachers.endpoint import Concession
from elad.testing import Changes, ChaosTeacher, Fault

OK, NO, UNKNOWN = Verdict.OK, Verdict.NO, Verdict.UNKNOWN
HEALTHY = {
    "reachable": OK,
    "authorised": OK,
    "model": OK,
    "answers": OK,
    "answering model": OK,
    "usage": OK,
    "max_tokens": OK,
    "structured output": NO,
    "sampling": OK,
    "log-probs": NO,
    "prefix cache": NO,
    "idempotency": UNKNOWN,
    "context length": UNKNOWN,
    "steady": OK,
    "record": OK,
}
"""A chaos teacher without faults: it ignores schemas and log-probs, caches nothing, and its ids tell nothing."""
SILENT = HEALTHY | dict.fromkeys(
    ["authorised", "answering model", "usage", *(probe.name for probe in PROBES), "context length", "record"], UNKNOWN
) | {"answers": NO, "steady": NO}  # fmt: skip
DECLINED = HEALTHY | dict.fromkeys([probe.name for probe in PROBES], UNKNOWN) | {"steady": NO}
ALWAYS: dict[Fault, dict[str, Verdict]] = {
    Fault.AUTH_EXPIRED: SILENT | {"authorised": NO, "steady": OK},
    Fault.CONTEXT_LENGTH: SILENT | {"context length": NO, "steady": OK},
    Fault.SLOW: HEALTHY,
    Fault.DUPLICATE: HEALTHY,
    Fault.PRICE_CHANGE: HEALTHY,
    Fault.LENGTH: HEALTHY | {"structured output": UNKNOWN},
    Fault.NO_USAGE: HEALTHY | {"usage": NO, "prefix cache": UNKNOWN},
    Fault.WRONG_MODEL: HEALTHY | {"answering model": NO},
    Fault.REFUSAL: DECLINED,
    Fault.CONTENT_FILTER: DECLINED,
}
"""What is found where every request meets the fault; nothing at all where it is not named here."""
PASSING = [Fault.RATE_LIMIT, Fault.SERVER_ERROR, Fault.HTML_OK, Fault.STALL, Fault.RESET, Fault.TRUNCATED_JSON]


def chaos(**settings: Any) -> ChaosTeacher:
    return ChaosTeacher(slow_seconds=0, stall_seconds=0, retry_after_seconds=0, **settings)


def test_a_server_without_faults() -> None:
    with chaos() as server:
        found = looked(server.base_url, "chaos")
        books = server.books
    assert verdicts(found) == HEALTHY
    assert all(bool(one.remedy) != (one.verdict is OK) for one in found.findings)
    assert not any(one.prevents for one in found.findings)
    assert (found.spent.calls, found.spent.tokens_in, found.spent.tokens_out) == (
        books.arrived, books.tokens_in, books.tokens_out,
    )  # fmt: skip


def test_a_server_that_can_do_everything() -> None:
    with able() as server:
        found = looked(server.base_url)
        record = known(server.base_url, MODEL)
    assert set(verdicts(found).values()) == {OK}
    assert found.capabilities == record
    assert record
    assert (record.conceded, record.context, record.top_logprobs, record.answers_as) == ((), 4096, 20, MODEL)


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_in_every_reply(fault: Fault) -> None:
    with chaos(faults={fault: 1.0}) as server:
        found = looked(server.base_url, "chaos")
        with line(server.base_url, "chaos") as opened:
            most = looking.bound(opened)
    assert verdicts(found) == ALWAYS.get(fault, SILENT)
    assert found.spent.calls <= most.calls
    assert found.spent.tokens_in <= most.tokens_in
    assert found.spent.tokens_out <= most.tokens_out
    assert (found.capabilities is None) == (verdicts(found)["answers"] is NO)


@pytest.mark.parametrize("fault", sorted(set(Fault) - ALWAYS.keys()))
def test_a_fault_that_passes_changes_nothing_but_that_it_is_told(fault: Fault) -> None:
    with chaos(script=[fault]) as server:
        found = looked(server.base_url, "chaos")
    assert verdicts(found) == HEALTHY | {"steady": NO}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("at", range(len(PROBES)), ids=[probe.name for probe in PROBES])
def test_a_fault_that_stays_through_one_probe_makes_that_finding_unknown(at: int, fault: Fault) -> None:
    before = sum(len(probe.asks) for probe in PROBES[:at])
    with chaos(script=[None] * before + [fault, fault]) as server:
        found = looked(server.base_url, "chaos")
    assert verdicts(found) == HEALTHY | {PROBES[at].name: UNKNOWN, "steady": NO}


def test_silence_is_bounded_by_the_time_that_the_teacher_grants() -> None:
    with ChaosTeacher(faults={Fault.STALL: 1.0}, stall_seconds=3600) as server:
        found = looked(server.base_url, "chaos", timeout_seconds=0.3)
    assert verdicts(found)["answers"] is NO
    assert "no complete reply within" in finding(found, "steady").found


def test_a_port_that_nobody_listens_on() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        found = looked(f"http://127.0.0.1:{held.getsockname()[1]}/v1")
    reachable = finding(found, "reachable")
    assert reachable.prevents
    assert "cannot connect" in reachable.found
    assert found.spent.calls == 0
    assert found.capabilities is None


def test_an_address_where_the_protocol_is_not_spoken() -> None:
    with able() as server:
        found = looked(server.base_url.removesuffix("/v1") + "/v2")
    assert finding(found, "reachable").prevents
    assert "/v1" in finding(found, "reachable").remedy


@pytest.mark.parametrize(("status", "remedy"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (402, "account")])
def test_a_key_that_is_not_let_in(status: int, remedy: str) -> None:
    def deny(body: dict[str, Any], answer: Answer) -> Answer:
        return status, {"error": {"message": "go away"}}

    with able(deny) as server:
        found = looked(server.base_url)
        assert len(server.asked) == 1
    assert finding(found, "authorised").prevents
    assert remedy in finding(found, "authorised").remedy


def test_a_key_that_expires_on_the_way() -> None:
    with chaos(changes=Changes(auth_ends_after=4)) as server:
        found = looked(server.base_url, "chaos")
    assert finding(found, "authorised").prevents
    assert verdicts(found)["answers"] is OK
    assert verdicts(found)["idempotency"] is UNKNOWN


def test_a_model_that_is_not_there_is_told_with_the_nearest() -> None:
    def missing(body: dict[str, Any], answer: Answer) -> Answer:
        return 404, {"error": {"message": "no such model", "code": "model_not_found"}}

    with able(missing) as server:
        found = looked(server.base_url, "abel-1")
    assert finding(found, "model").prevents
    assert f"did you mean '{MODEL}'?" in finding(found, "model").remedy


def test_a_model_that_is_listed_as_a_file_is_found() -> None:
    with able(listing={"data": [{"id": f"/models/{MODEL}.gguf", "meta": {"n_ctx_train": 99}}]}) as server:
        found = looked(server.base_url)
    assert verdicts(found)["model"] is OK
    assert "99 tokens" in finding(found, "context length").found


def test_a_record_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ELAD_CACHE", str(tmp_path / "file"))
    with able() as server:
        found = looked(server.base_url)
    assert verdicts(found)["record"] is NO
    assert "ELAD_CACHE" in finding(found, "record").remedy


def test_a_name_that_is_not_listed_and_answered_all_the_same() -> None:
    with able() as server:
        found = looked(server.base_url, "abel-1")
    assert finding(found, "model").verdict is UNKNOWN
    assert f"did you mean '{MODEL}'?" in finding(found, "model").remedy


@pytest.mark.parametrize("listing", [None, [], {"data": "x"}, {"data": [1, {"id": 2}, {}]}, {"data": []}])
def test_a_list_that_says_nothing(listing: object) -> None:
    with able(listing=listing) as server:
        found = looked(server.base_url)
    assert verdicts(found)["model"] is OK
    assert verdicts(found)["context length"] is UNKNOWN


@pytest.mark.parametrize(
    ("row", "props", "context", "said"),
    [
        ({"context_length": 8192}, None, 8192, "context_length"),
        ({"meta": {"n_ctx_train": 32768}}, {"default_generation_settings": {"n_ctx": 2048}}, 2048, "n_ctx"),
        ({"meta": {"n_ctx_train": 32768}}, None, 32768, "it may grant less"),
        ({"max_model_len": True}, None, None, "does not tell"),
        ({"max_model_len": -1}, None, None, "does not tell"),
    ],
)
def test_the_context_is_read_where_it_is_told(
    row: dict[str, Any], props: object, context: int | None, said: str
) -> None:
    with able(listing={"data": [{"id": MODEL, **row}]}, props=props) as server:
        found = looked(server.base_url)
    assert found.capabilities
    assert found.capabilities.context == context
    assert said in finding(found, "context length").found


def test_a_context_that_is_too_short_is_found_by_the_long_prompt() -> None:
    def short(body: dict[str, Any], answer: Answer) -> Answer:
        long = len(body["messages"][0]["content"]) > 1000
        return (400, {"error": {"message": "exceeds the available context size (512)"}}) if long else answer

    with able(short) as server:
        found = looked(server.base_url)
    assert (verdicts(found)["context length"], verdicts(found)["prefix cache"]) == (NO, UNKNOWN)
    assert "512" in finding(found, "context length").found


def test_what_is_turned_down_is_conceded_as_in_a_run_and_recorded() -> None:
    with able(refuses("response_format", "max_tokens", "temperature", message="{} (max_completion_tokens)")) as server:
        found = looked(server.base_url)
    assert found.capabilities
    assert set(found.capabilities.conceded) == set(Concession)
    assert "max_completion_tokens is obeyed" in finding(found, "max_tokens").found
    assert verdicts(found)["structured output"] is NO
    assert verdicts(found)["sampling"] is NO
    assert verdicts(found)["steady"] is OK


@pytest.mark.parametrize(
    ("field", "verdict", "said"),
    [("top_p", OK, "top_p is turned down"), ("seed", NO, "a seed"), ("top_logprobs", OK, "")],
)
def test_what_no_run_sends_is_never_conceded(field: str, verdict: Verdict, said: str) -> None:
    with able(refuses(field)) as server:
        found = looked(server.base_url)
    assert found.capabilities
    assert found.capabilities.conceded == ()
    assert finding(found, "sampling").verdict is verdict
    assert said in finding(found, "sampling").found


def test_log_probs_are_counted_as_they_come() -> None:
    def five(body: dict[str, Any], answer: Answer) -> Answer:
        return refuses("top_logprobs")(body, answer) if body.get("top_logprobs", 0) > 5 else answer

    with able(five) as server:
        found = looked(server.base_url)
    assert finding(found, "log-probs").found.startswith("5 alternatives")
    assert found.capabilities
    assert found.capabilities.top_logprobs == 5


def test_replies_that_are_longer_than_they_may_be() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 900}
    with able(says(usage=usage)) as server:
        found = looked(server.base_url)
    assert verdicts(found)["max_tokens"] is NO
    assert "900" in finding(found, "max_tokens").found


@pytest.mark.parametrize(
    ("asked", "told", "verdict"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", OK),
        ("acme/able-1", "Able-1", OK),
        ("able-1", "/models/able-1.Q4_K_M.gguf", OK),
        ("able", "able:latest", OK),
        ("gpt-4", "gpt-4o", NO),
        ("gpt-4", "gpt-4.1", NO),
        ("able-1", "other", NO),
        ("able-1", None, UNKNOWN),
    ],
)
def test_the_model_that_answers(asked: str, told: str | None, verdict: Verdict) -> None:
    with able(says(model=told)) as server:
        found = looked(server.base_url, asked)
    assert verdicts(found)["answering model"] is verdict


def test_idempotency_is_recommended_and_never_switched_on() -> None:
    with able() as server:
        found = looked(server.base_url)
        plain = finding(looked(server.base_url, idempotent=True), "idempotency")
    assert "teacher.idempotent: true" in finding(found, "idempotency").found
    assert "teacher.idempotent" not in plain.found
    with chaos(idempotent=True) as server:
        assert verdicts(looked(server.base_url, "chaos"))["idempotency"] is OK


def test_a_setting_that_the_endpoint_does_not_honour_is_to_be_taken_back() -> None:
    def forgetful(body: dict[str, Any], answer: Answer) -> Answer:
        server.kept.clear()
        return answer

    with able(forgetful) as server:
        server.kept = Forgetful()
        one = finding(looked(server.base_url, idempotent=True), "idempotency")
    assert one.verdict is NO
    assert "idempotent: false" in one.remedy


class Forgetful(dict[str, Answer]):
    def __setitem__(self, key: str, value: Answer) -> None:
        pass


def test_money_is_told_by_the_price() -> None:
    price = Price(input=1.0, output=2.0)
    with able() as server:
        found = looked(server.base_url, price=price)
        with line(server.base_url, price=price) as opened:
            most = looking.bound(opened)
    assert 0 < found.spent.money < most.money
    assert most.currency == "USD"


@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
def test_no_byte_of_the_key_is_in_what_is_found(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)

    def leak(body: dict[str, Any], answer: Answer) -> Answer:
        whole = answer[1] | {"model": f"x {CANARY}", "id": CANARY}
        said = f"you sent Bearer {CANARY}; maximum context length \x1b[31m"
        return status, whole if status == 200 else {"error": {"message": said, "code": CANARY}}

    with able(leak, listing={"data": [{"id": CANARY}, {"id": f"{CANARY}-2"}]}) as server:
        found = looked(server.base_url, "other")
    told = json.dumps([to_json(found), str(found)])
    assert CANARY not in told
    assert "canary" not in told
    assert "\\u001b" not in told
    assert "[key]" in told
