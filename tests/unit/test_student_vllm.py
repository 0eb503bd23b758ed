"""The vllm engine against the transformers engine, over real sockets to a server that is made of forward passes."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
import vllm_kit

from elad.abilities import Embeds
from elad.asks import Prompt
from elad.errors import ConfigError, StudentError
from elad.learning import Lesson
from elad.records import Example, Message, Sampling
from elad.settings import Training
from elad.students.served import VllmStudent
from elad.students.transformers import Lora, Transformers, TransformersStudent
from elad.students.vllm import Vllm
from elad.training.objectives.sft import Sft

GREEDY = Sampling(max_tokens=9)
WARM = Sampling(temperature=1.0, top_p=0.9, max_tokens=12)
QUICK = Training(epochs=2, batch_size=4, micro_batch_size=2, learning_rate=0.01)


def prompt(text: str, *, seed: int = 0, prefix: str = "") -> Prompt:
    return Prompt(messages=(Message(role="user", content=text),), seed=seed, prefix=prefix)


def example(i: int) -> Example:
    messages = (Message(role="user", content=f"{i} + {i}?"),)
    return Example(problem_id=str(i), messages=messages, target=f"The answer is {2 * i}.", source="warmup")


PROMPTS = [prompt(f"{i} + 4?" * (1 + i % 3), seed=i, prefix="3 + 4 =" if i % 2 else "") for i in range(8)]
PAIRS = [(one, target) for one in PROMPTS for target in (" 7", "7 is it. The answer is 7.", "")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def plain(folder: Path) -> TransformersStudent:
    return Transformers(model=str(folder), dtype="float32").open()


@pytest.fixture
def replica(folder: Path) -> vllm_kit.Replica:
    return vllm_kit.Replica(folder)


@pytest.fixture
def settings(folder: Path, replica: vllm_kit.Replica) -> Iterator[Vllm]:
    server = vllm_kit.serve(replica)
    yield Vllm(model=str(folder), dtype="float32", url=f"http://127.0.0.1:{server.server_port}/v1", concurrency=3)
    server.shutdown()
    server.server_close()


@pytest.fixture
def student(settings: Vllm) -> VllmStudent:
    return settings.open()


def test_what_it_writes_and_weighs_is_what_the_transformers_engine_does(
    student: VllmStudent, plain: TransformersStudent
) -> None:
    for sampling in (GREEDY, WARM):
        ours, theirs = student.generate(PROMPTS, sampling), plain.generate(PROMPTS, sampling)
        assert ours == theirs
        surprises = [one.surprise for one in theirs]
        assert [one.surprise for one in ours] == [pytest.approx(surprise, abs=1e-4) for surprise in surprises]
    assert student.score(PAIRS) == [pytest.approx(logs, abs=1e-4) for logs in plain.score(PAIRS)]


def test_what_is_drawn_depends_on_the_seed_alone_not_on_the_batch(student: VllmStudent) -> None:
    together = student.generate(PROMPTS, WARM)
    assert together == [student.generate([one], WARM)[0] for one in PROMPTS]
    assert together == student.generate(PROMPTS[::-1], WARM)[::-1]
    assert len({student.generate([prompt("3 + 4?", seed=seed)], WARM)[0].text for seed in range(6)}) == 6


def test_what_does_not_fit_the_context_is_not_asked(student: VllmStudent, plain: TransformersStudent) -> None:
    long = prompt("7 " * 400)
    assert student.generate([long, PROMPTS[0]], GREEDY) == plain.generate([long, PROMPTS[0]], GREEDY)
    assert student.generate([long], GREEDY)[0].too_long
    assert student.score([(long, "7"), (PROMPTS[0], "")]) == [(), ()]
    assert student.context == plain.context


def test_a_row_that_fills_the_context_is_weighed(student: VllmStudent, plain: TransformersStudent) -> None:
    ids = len(plain.tokenizer(tiny_model.TEMPLATE)["input_ids"])
    assert ids < plain.context
    fitting = [(prompt("?" * n), "77") for n in range(200, 260)]
    lengths = [len(logs) for logs in student.score(fitting)]
    assert lengths == [len(logs) for logs in plain.score(fitting)]
    assert {0, 2} <= set(lengths)


def test_an_option_is_weighed_after_a_prompt_that_the_server_can_keep(
    student: VllmStudent, replica: vllm_kit.Replica
) -> None:
    student.score([(PROMPTS[0], " 7")])
    replica.asked.clear()
    student.score([(PROMPTS[0], " 7"), (PROMPTS[0], " 7 is it")])
    one, more = sorted((body for _, body in replica.asked), key=lambda body: len(body["prompt"]))
    assert "prompt_logprobs" not in one
    assert more["prompt_logprobs"] == 0


def test_a_reply_ends_where_it_is_said_to_have_said_enough(student: VllmStudent, plain: TransformersStudent) -> None:
    whole = student.generate(PROMPTS, WARM)
    shown: dict[int, list[str]] = {place: [] for place in range(len(PROMPTS))}

    def enough(place: int, text: str) -> bool:
        shown[place].append(text)
        return place % 2 == 0 and len(shown[place]) == 2

    cut = student.generate(PROMPTS, WARM, enough)
    texts = {place: list(said) for place, said in shown.items()}
    for said in shown.values():
        said.clear()
    assert cut == plain.generate(PROMPTS, WARM, enough)
    assert texts == shown
    assert any(long.tokens > short.tokens for long, short in zip(whole, cut, strict=True))


def test_logits_that_are_no_numbers_end_a_reply(
    student: VllmStudent, replica: vllm_kit.Replica, settings: Vllm
) -> None:
    student.generate(PROMPTS[:1], GREEDY)
    replica.bend = float("nan")
    (made,) = student.generate(PROMPTS[:1], GREEDY)
    assert (made.text, made.finished, made.tokens, made.too_long) == ("", False, 1, False)
    broken = settings.local.open()
    torch.nn.init.constant_(broken.model.get_input_embeddings().weight, torch.nan)
    (same,) = broken.generate(PROMPTS[:1], GREEDY)
    assert made == same
    assert made.surprise == pytest.approx(same.surprise) == pytest.approx(log(broken.model.config.vocab_size))


def test_a_server_of_bent_log_probabilities_is_refused(settings: Vllm, replica: vllm_kit.Replica) -> None:
    replica.bend = 1 / 0.7
    with pytest.raises(StudentError, match="nats off those of a plain forward pass"):
        settings.open().score(PAIRS)


def test_another_model_is_refused(folder: Path, settings: Vllm, tmp_path: Path) -> None:
    other = tiny_model.save(tmp_path / "other", seed=1)
    with pytest.raises(StudentError, match="does it serve this model"):
        replace(settings, model=str(other)).open().generate(PROMPTS, GREEDY)


@pytest.mark.parametrize("checkpoint", ["same", "again"])
def test_a_trained_student_is_handed_over_as_an_adapter_and_taken_back(
    settings: Vllm, replica: vllm_kit.Replica, tmp_path: Path, checkpoint: str
) -> None:
    start = settings.open()
    before = start.score(PAIRS)
    fit = start.fit([example(i) for i in range(8)], Lesson(objective=Sft(), training=QUICK, seed=1), folder=tmp_path)
    trained = fit.student if checkpoint == "same" else settings.load(tmp_path)
    assert isinstance(trained, VllmStudent)
    twin = settings.local.load(tmp_path)
    assert trained.id == settings.load(tmp_path).id != start.id
    assert trained.generate(PROMPTS, WARM) == twin.generate(PROMPTS, WARM)
    assert trained.score(PAIRS) == [pytest.approx(logs, abs=1e-4) for logs in twin.score(PAIRS)]
    assert len(replica.models) == 2
    assert start.score(PAIRS) == before != trained.score(PAIRS)
    trained.close()
    assert list(replica.models) == ["base"]


def test_a_server_that_takes_no_adapters_is_told_of(settings: Vllm, replica: vllm_kit.Replica, tmp_path: Path) -> None:
    fit = settings.open().fit([example(1)], Lesson(objective=Sft(), training=QUICK, seed=1), folder=tmp_path)
    replica.adapters = False
    with pytest.raises(StudentError, match="--enable-lora"):
        fit.student.generate(PROMPTS, GREEDY)


def test_a_running_server_cannot_take_a_student_that_goes_on_from_a_trained_one(settings: Vllm, tmp_path: Path) -> None:
    fit = settings.open().fit([example(1)], Lesson(objective=Sft(), training=QUICK, seed=1), folder=tmp_path / "a")
    with pytest.raises(StudentError, match="warm_start"):
        fit.student.fit([example(2)], Lesson(objective=Sft(), training=QUICK, seed=1), folder=tmp_path / "b")


def test_embeddings_are_those_of_the_transformers_engine(student: VllmStudent, plain: TransformersStudent) -> None:
    assert isinstance(student, Embeds)
    assert student.embed(PROMPTS) == plain.embed(PROMPTS)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"{", "cannot be read"),
        (b'{"choices": []}', "lacks what was asked for"),
        (b'{"choices": [{"token_ids": [1, 2], "logprobs": {"token_logprobs": [-1.0]}}]}', "other log-probabilities"),
        (b'{"choices": [{"token_ids": [1], "logprobs": {"token_logprobs": [-1.0]}}]}', "did not weigh"),
    ],
)
def test_an_answer_that_cannot_be_used_is_told_of(
    student: VllmStudent, answer: bytes, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    student.score(PAIRS)
    monkeypatch.setattr(vllm_kit.Handler, "reply", lambda self, _: _raw(self, answer))
    with pytest.raises(StudentError, match=told):
        student.score([(PROMPTS[0], " 7")])


def _raw(handler: Any, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def test_a_refusal_is_told_in_the_servers_words_and_the_key_is_sent(
    settings: Vllm, replica: vllm_kit.Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def get(handler: Any) -> None:
        seen.append(handler.headers["Authorization"])
        handler.reply({"error": "no such key"}, 401)

    monkeypatch.setattr(vllm_kit.Handler, "do_GET", get)
    monkeypatch.setenv("OTHER_KEY", "sk-secret")
    with pytest.raises(StudentError, match=r"answers 401: .*no such key") as caught:
        replace(settings, api_key_env="OTHER_KEY").open().generate(PROMPTS, GREEDY)
    assert seen == ["Bearer sk-secret"]
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({}, "student.python, student.url"),
        ({"python": "python", "url": "http://there"}, "student.python, student.url"),
        ({"python": "python", "concurrency": 0}, "student.concurrency"),
        ({"python": "python", "start_seconds": 0}, "student.start_seconds"),
        ({"python": "python", "max_length": 0}, "student.max_length"),
        ({"python": "python", "args": ("--max-model-len=4096",)}, "student.args: .*student.max_length bounds it"),
        ({"python": "python", "args": ("--trust-remote-code",)}, "student.args"),
        ({"python": "python", "args": ("--trust",)}, "student.args"),
        ({"python": "python", "args": ("--host=0.0.0.0",)}, "student.args"),
        ({"python": "python", "args": ("--no_enable_prefix_caching",)}, "student.args"),
        ({"url": "ftp://there"}, "student.url"),
        ({"url": "http://me:secret@there"}, "student.url"),
        ({"url": "http://there", "args": ("--seed=1",)}, "student.args"),
        ({"url": "http://there", "lora": None}, "student.lora"),
    ],
    ids=json.dumps,
)
def test_unusable_settings_are_refused(wrong: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key) as caught:
        Vllm(**wrong)
    assert "secret" not in str(caught.value)


def test_an_id_is_of_weights_arithmetic_and_arguments_and_how_it_draws(folder: Path) -> None:
    base = Vllm(model=str(folder), dtype="float32", python=sys.executable, device="cpu")
    others = ({"dtype": "bfloat16"}, {"args": ("--seed=1",)}, {"device": "gpu"}, {"max_length": 99})
    assert len({one.open().id for one in (base, *(replace(base, **other) for other in others))}) == 5
    assert base.open().id == replace(base, concurrency=4, lora=Lora(rank=2)).open().id


def test_a_machine_that_draws_in_another_way_has_another_student(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Vllm(model=str(folder), dtype="float32", python=sys.executable)
    ids = set[str]()
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        ids.add(base.open().id)
    assert len(ids) == 2


def test_a_python_that_is_not_there_is_told_of_before_anything_is_done(folder: Path) -> None:
    with pytest.raises(StudentError, match=r"student\.python.*no-such-python"):
        Vllm(model=str(folder), python="no-such-python").open()
