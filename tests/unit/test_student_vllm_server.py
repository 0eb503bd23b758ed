"""A server of the vllm engine's own: how it starts, what it serves, and that it ends."""

import gc
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tiny_model
import torch
import vllm_kit

from elad.asks import Prompt
from elad.errors import StudentError
from elad.learning import Lesson
from elad.records import Example, Message, Sampling
from elad.settings import Training
from elad.students import keeper
from elad.students.sampling import draw
from elad.students.transformers import Transformers
from elad.students.vllm import Vllm
from elad.training.objectives.sft import Sft

SAMPLING = Sampling(temperature=1.0, max_tokens=9)
QUICK = Training(epochs=2, batch_size=4, micro_batch_size=2, learning_rate=0.01)
PROMPTS = [Prompt(messages=(Message(role="user", content=f"{i} + 4?"),), seed=i) for i in range(4)]
PAIRS = [(one, target) for one in PROMPTS for target in (" 7", "7 is it.")]
REPLICA = f'shift; exec "{sys.executable}" "{vllm_kit.__file__}" "$@"'

Program = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """What stands for vLLM's Python: a shell script that is given `serving.py FOLDER ARGUMENTS...`."""
    monkeypatch.setattr(tempfile, "tempdir", str(Path(tempfile.mkdtemp(prefix="elad-test-"))))
    monkeypatch.setenv("VLLM_KIT_TOLD", str(tmp_path / "told"))
    monkeypatch.setenv("OTHER_API_KEY", "sk-secret")

    def write(script: str) -> Path:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


def settings(folder: Path, python: Path, **changes: Any) -> Vllm:
    return Vllm(model=str(folder), dtype="float32", python=str(python), device="cpu", **changes)


def starts(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]


def left() -> list[str]:
    """What is left in the folder for temporary files."""
    return os.listdir(tempfile.gettempdir())


def ended(start: dict[str, Any]) -> bool:
    try:
        os.kill(start["pid"], 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_each_student_in_turn_is_served_with_its_weights_and_no_server_is_left(
    folder: Path, tmp_path: Path, program: Program
) -> None:
    base = settings(folder, program(REPLICA)).open()
    plain = Transformers(model=str(folder), dtype="float32").open()
    assert base.generate(PROMPTS, SAMPLING) == plain.generate(PROMPTS, SAMPLING)
    (first,) = starts(tmp_path)
    assert stat.S_IMODE(Path(first["socket"]).parent.stat().st_mode) == 0o700
    examples = [
        Example(problem_id=str(i), messages=PROMPTS[i].messages, target=f"The answer is {i}.", source="warmup")
        for i in range(4)
    ]
    fit = base.fit(examples, Lesson(objective=Sft(), training=QUICK, seed=1), folder=tmp_path / "trained")
    assert ended(first)
    twin = base.settings.local.load(tmp_path / "trained")
    trained = base.settings.load(tmp_path / "trained")
    assert trained.score(PAIRS) == [pytest.approx(logs, abs=1e-4) for logs in twin.score(PAIRS)]
    assert fit.student.generate(PROMPTS, SAMPLING) == twin.generate(PROMPTS, SAMPLING)
    second = starts(tmp_path)[1:]
    assert len(second) == 1  # two students of the same weights
    assert base.score(PAIRS) == [pytest.approx(logs, abs=1e-4) for logs in plain.score(PAIRS)]
    assert ended(second[0])
    last = starts(tmp_path)[2]
    assert not ended(last)
    del base, trained, fit
    assert ended(last)
    assert left() == []


def test_it_is_told_what_decides_the_numbers_and_who_may_reach_it(
    folder: Path, tmp_path: Path, program: Program
) -> None:
    student = settings(folder, program(REPLICA), args=("--tensor-parallel-size", "2"), concurrency=7).open()
    student.generate(PROMPTS, SAMPLING)
    (start,) = starts(tmp_path)
    words = start["words"]
    assert words[0] == str(folder)
    told = {"--dtype=float32", "--max-model-len=256", "--max-num-seqs=7", "--logprobs-mode=raw_logprobs"}
    told |= {
        "--generation-config=vllm",
        "--enable-prefix-caching",
        "--load-format=safetensors",
        "--tensor-parallel-size",
    }
    assert told <= set(words)
    assert not {"--host", "--port", "--trust-remote-code"} & set(words)
    assert "OTHER_API_KEY" not in start["keys"]
    student.close()
    assert ended(start)


def test_a_server_that_does_not_start_is_told_of_with_its_last_lines(folder: Path, program: Program) -> None:
    student = settings(folder, program("seq 1 99; printf 'no \\033[31mkernel\\n' >&2; exit 3")).open()
    with pytest.raises(StudentError, match="it did not start") as caught:
        student.generate(PROMPTS, SAMPLING)
    told = str(caught.value)
    assert "no [31mkernel" in told
    assert "ended with status 3" in told
    assert "\n  98\n" in told
    assert "\n  50\n" not in told
    assert caught.value.exit_code == 2
    (log,) = left()
    assert log in told
    assert (Path(tempfile.gettempdir()) / log).read_text().startswith("1\n2\n")


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(folder: Path, program: Program) -> None:
    student = settings(folder, program("echo loading; exec sleep 1000"), start_seconds=0.01).open()
    with pytest.raises(StudentError, match=r"did not answer within 0\.01 seconds"):
        student.generate(PROMPTS, SAMPLING)


@pytest.mark.slow
# A connection that could not be made leaves httpx2 a socket unclosed; it goes with the next garbage collection.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_ends_is_told_of_and_can_be_started_again(
    folder: Path, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_KIT_DIES_AFTER", "8")
    student = settings(folder, program(REPLICA)).open()
    made = student.generate(PROMPTS, SAMPLING)
    with pytest.raises(StudentError, match="the vLLM server failed"):
        student.generate(PROMPTS, SAMPLING)
    gc.collect()
    student.close()
    assert student.generate(PROMPTS, SAMPLING) == made
    assert len(starts(tmp_path)) == 2
    student.close()


STUBBORN = "trap '' TERM; (trap '' TERM; sleep 1000) & echo ready; wait; sleep 1000"
WILLING = "sleep 1000 & echo ready; wait"
KEEPER = [sys.executable, "-I", keeper.__file__, "0.05", "sh", "-c"]


@pytest.mark.parametrize("script", [STUBBORN, WILLING], ids=["stubborn", "willing"])
def test_nothing_outlives_standard_input(script: str) -> None:
    with subprocess.Popen(
        [*KEEPER, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.close()
        process.stdout.read()  # comes to its end when nobody is left who could write


def test_nothing_outlives_a_process_that_is_killed() -> None:
    code = f"""
import os, subprocess
process = subprocess.Popen({[*KEEPER, WILLING]!r}, stdin=subprocess.PIPE, start_new_session=True)
input()
os.kill(os.getpid(), 9)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"\n")
        process.stdin.close()
        process.stdout.read()


def test_a_server_draws_what_this_process_draws_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vllm", "vllm.v1", "vllm.v1.sample", "vllm.v1.sample.logits_processor"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    setattr(sys.modules["vllm.v1.sample.logits_processor"], "AdapterLogitsProcessor", object)  # noqa: B010
    from elad.students.asking import asked_to_write
    from elad.students.seeded import Seeded

    sampling = Sampling(temperature=0.7, top_p=0.9)
    asked = asked_to_write(sampling, 2**62 + 1, 9, [2], draws=True)
    assert asked["temperature"] == 0
    draws = Seeded().new_req_logits_processor(SimpleNamespace(extra_args=asked["vllm_xargs"]))
    assert draws is not None
    assert Seeded().new_req_logits_processor(SimpleNamespace(extra_args=None)) is None
    luck = Random(2**62 + 1)
    rows = torch.randn(9, 50, generator=torch.Generator().manual_seed(0))
    expected = [draw(row[None], [luck], sampling)[0] for row in rows]
    for _ in range(2):
        found = [int(draws(expected[:at], row.clone()).argmax()) for at, row in enumerate(rows)]
        assert found == expected
    assert draws([], torch.full((5,), torch.nan)).isnan().all()
