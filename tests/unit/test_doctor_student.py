"""The student by its files, and the machine: nothing is loaded, nothing is fetched."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from doctor_kit import MODEL, able
from tokenizers import Tokenizer, models, pre_tokenizers

from elad.doctor import student as looking
from elad.doctor.finding import Finding, Verdict
from elad.doctor.teacher import _tokenizers as tokenizers_alike
from elad.doctor.teacher import look as look_at_teacher
from elad.errors import StudentError
from elad.experiment import Experiment
from elad.records import Problem
from elad.students import inspection
from elad.students.inspection import Weights, weights
from elad.testing import ChaosTeacher

OK, NO, UNKNOWN = Verdict.OK, Verdict.NO, Verdict.UNKNOWN
SHAPES = {"model.embed_tokens.weight": [300, 8], "model.layers.0.q.weight": [8, 4], "model.norm.weight": [8]}


def header(shapes: dict[str, list[int]]) -> bytes:
    """The start of a safetensors file."""
    tensors = {name: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    said = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    return struct.pack("<Q", len(said)) + said


def model(folder: Path, *, context: int = 512, eos: bool = True, template: bool = True, words: int = 3) -> Path:
    """A model's folder without weights that could be loaded."""
    folder.mkdir(parents=True)
    known = {"<|end|>": 0, **{f"w{n}": n + 1 for n in range(words)}}
    raw = Tokenizer(models.WordLevel(known, unk_token="<|end|>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.save(str(folder / "tokenizer.json"))
    said: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    said |= {"eos_token": "<|end|>"} if eos else {}
    said |= {"chat_template": "{{ messages }}"} if template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": context}))
    (folder / "model.safetensors").write_bytes(header(SHAPES))
    return folder


def experiment(folder: Path | str, *overrides: str, **sections: Any) -> Experiment:
    raw: dict[str, Any] = {
        "data": {
            "pool": [Problem(id="p", question="?", answer="1")],
            "heldout": [Problem(id="h", question="!", answer="1")],
        },
        "task": {"kind": "numeric"},
        "student": {"engine": "transformers", "model": str(folder)},
        "teacher": {"kind": "reference"},
        "reviser": {"kind": "first_error", "judge": "direct"},
    }
    return Experiment.of(raw | sections).but(overrides)


def look(planned: Experiment, runs: Path) -> dict[str, Finding]:
    return {one.name: one for one in looking.look(planned, runs)}


def verdicts(found: dict[str, Finding]) -> dict[str, Verdict]:
    return {name: one.verdict for name, one in found.items()}


ALL = (
    "student files", "student tokenizer", "end-of-text token", "chat template", "student context", "disk", "memory",
    "threads",
    "arithmetic",
)  # fmt: skip


def test_a_student_that_is_all_there(tmp_path: Path) -> None:
    found = look(experiment(model(tmp_path / "m")), tmp_path / "runs" / "not" / "yet")
    assert verdicts(found) == dict.fromkeys(ALL, OK)
    assert str(tmp_path) in found["disk"].found
    assert "512 tokens" in found["student context"].found


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    found = look(experiment(model(tmp_path / "m", context=100, eos=False, template=False)), tmp_path)
    named = {"end-of-text token", "chat template", "student context"}
    assert verdicts(found) == dict.fromkeys(ALL, OK) | dict.fromkeys(named, NO)
    assert {name for name, one in found.items() if one.prevents} == named - {"chat template"}
    assert all(found[name].remedy for name in named)


def test_a_context_is_bounded_by_what_is_set_and_must_be_told(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    assert "300 tokens" in look(experiment(folder, "student.max_length=300"), tmp_path)["student context"].found
    (folder / "config.json").write_text(json.dumps({"model_type": "bloom"}))
    found = look(experiment(folder), tmp_path)["student context"]
    assert found.prevents
    assert "student.max_length" in found.remedy


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tokenizer.json", "student tokenizer"),
        ("config.json", "student weights"),
        ("model.safetensors", "student weights"),
    ],
)
def test_a_damaged_folder(tmp_path: Path, file: str, name: str) -> None:
    folder = model(tmp_path / "m")
    (folder / file).write_bytes(b"\xff\x00{")
    assert look(experiment(folder), tmp_path)[name].prevents


def test_a_model_that_is_unknown_and_one_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELAD_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = look(experiment("smolm2-135m"), tmp_path)
    assert found["student files"].prevents
    assert "smollm2-135m" in found["student files"].found
    absent = look(experiment("nobody/nothing-like-it"), tmp_path)
    assert verdicts(absent)["student files"] is UNKNOWN
    assert set(absent) == {"student files", "threads", "arithmetic"}


def test_a_gguf_file_is_converted_first(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    found = look(experiment(tmp_path / "m.gguf"), tmp_path)
    assert verdicts(found) | {"student tokenizer": NO} == verdicts(found)
    assert {name for name, one in found.items() if one.verdict is UNKNOWN} == {"student context", "disk", "memory"}


def test_a_student_without_files_needs_none_of_it(tmp_path: Path) -> None:
    found = look(experiment("", student={"engine": "fake"}), tmp_path)
    assert verdicts(found) == {"student files": OK}
    assert "were not looked at" in found["student files"].found


def test_room_on_the_disk_is_counted_by_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model(tmp_path / "m")
    monkeypatch.setattr(looking, "_BESIDE_WEIGHTS", 0)
    adapters = 3 * (8 + 4) * 4  # rank 3, one linear layer of 8 x 4, float32
    whole = (300 * 8 + 8 * 4 + 8) * 4

    def room(free: int, *overrides: str) -> Verdict:
        usage = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        return verdicts(look(experiment(folder, "student.lora.rank=3", "rounds.count=4", *overrides), tmp_path))["disk"]

    assert (room(5 * adapters), room(5 * adapters - 1)) == (OK, NO)
    assert (room(5 * whole, "student.lora=null"), room(5 * whole - 1, "student.lora=null")) == (OK, NO)
    assert (room(5 * whole, "training.warm_start=true"), room(5 * adapters, "training.warm_start=true")) == (OK, NO)


def test_memory_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model(tmp_path / "m")
    for free, verdict in ((None, UNKNOWN), (10, NO), (10**9, OK)):
        monkeypatch.setattr(looking, "available_memory", lambda free=free: free)
        assert verdicts(look(experiment(folder), tmp_path))["memory"] is verdict
    for threads, verdict in ((None, UNKNOWN), (10_000, NO), (1, OK)):
        monkeypatch.setattr(inspection, "torch_threads", lambda threads=threads: threads)
        assert verdicts(look(experiment(folder), tmp_path))["threads"] is verdict


@pytest.mark.parametrize(
    ("dtype", "native", "verdict", "found"),
    [
        ("auto", True, OK, "bfloat16"),
        ("auto", False, OK, "float32"),
        ("bfloat16", False, NO, "in software"),
        ("bfloat16", True, OK, "bfloat16"),
        ("float32", True, OK, "float32"),
    ],
)
def test_numbers_that_the_machine_does_not_multiply_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, native: bool, verdict: str, found: str
) -> None:
    folder = model(tmp_path / "m")
    monkeypatch.setattr(inspection, "multiplies_bfloat16", lambda: native)
    looked = look(experiment(folder, f"student.dtype={dtype}"), tmp_path)
    assert verdicts(looked)["arithmetic"] is verdict
    assert found in looked["arithmetic"].found


def test_the_size_is_read_from_the_headers(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    size = (folder / "model.safetensors").stat().st_size
    assert weights(folder) == Weights(bytes=size, parameters=300 * 8 + 8 * 4 + 8, adapted=8 + 4)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\x01", struct.pack("<Q", 2**60), struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b'{"a": {}}'],
)
def test_a_damaged_header_is_a_student_error(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(damaged)
    with pytest.raises(StudentError, match=r"model\.safetensors"):
        weights(tmp_path)


def teacher(planned: Experiment) -> dict[str, Finding]:
    def tell(text: str) -> None:
        raise AssertionError(text)

    return {one.name: one for one in look_at_teacher(planned, tell).findings}


def test_a_teacher_in_this_process_costs_nothing_to_look_at(tmp_path: Path) -> None:
    found = teacher(experiment(tmp_path))
    assert verdicts(found) == dict.fromkeys(["endpoint", "reviser", "price"], OK)
    assert "were not looked at" in found["endpoint"].found


def test_a_teacher_that_cannot_do_what_the_reviser_needs(tmp_path: Path) -> None:
    found = teacher(experiment(tmp_path, teacher={"kind": "recorded"}))
    assert found["reviser"].prevents
    assert "judge" in found["reviser"].found


def test_a_key_that_is_missing_prevents_a_run(tmp_path: Path) -> None:
    settings = {"kind": "openai", "base_url": "https://api.example.com/v1", "model": "m", "api_key_env": "NO_SUCH_KEY"}
    found = teacher(experiment(tmp_path, teacher=settings))
    assert found["teacher"].prevents
    assert "NO_SUCH_KEY" in found["teacher"].found


def test_a_gguf_teacher_is_looked_for_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELAD_MODELS", str(tmp_path))
    unknown = teacher(experiment(model(tmp_path / "m"), teacher={"kind": "llamacpp", "model": "nothing"}))
    assert unknown["teacher file"].prevents
    named = experiment(tmp_path / "m", teacher={"kind": "llamacpp", "model": "smollm2-135m"})
    assert teacher(named)["teacher file"].verdict is UNKNOWN
    (tmp_path / "smollm2-135m.gguf").write_bytes(b"GGUF")
    found = teacher(named)
    assert found["teacher file"].verdict is OK
    assert found["tokenizers alike"].verdict is UNKNOWN


@pytest.mark.parametrize(("words", "verdict"), [(3, OK), (4, NO)])
def test_tokenizers_are_compared_where_both_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: int, verdict: Verdict
) -> None:
    own, other = model(tmp_path / "own"), model(tmp_path / "other", words=words)
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    real = inspection.tokenizer
    monkeypatch.setattr(inspection, "tokenizer", lambda path: real(other if path.suffix == ".gguf" else path))
    settings = {"kind": "llamacpp", "model": str(tmp_path / "other.gguf")}
    found = teacher(experiment(own, teacher=settings))
    assert (found["tokenizers alike"].verdict, found["chat templates alike"].verdict) == (verdict, OK)


def asked(planned: Experiment) -> dict[str, Finding]:
    """What is found by asking an endpoint, without a wait."""
    return {one.name: one for one in look_at_teacher(planned, lambda _: None, lambda _: None).findings}


@pytest.mark.parametrize(("template", "verdict"), [("{{ messages }}", OK), ("{{ messages }}!", NO), (None, UNKNOWN)])
def test_the_tokenizer_that_is_named_for_an_endpoint_is_compared(
    tmp_path: Path, template: str | None, verdict: Verdict
) -> None:
    own, other = model(tmp_path / "own"), model(tmp_path / "other")
    path = other / "tokenizer_config.json"
    said = json.loads(path.read_text()) | {"chat_template": template}
    path.write_text(json.dumps({name: value for name, value in said.items() if value is not None}))
    found = tokenizers_alike(experiment(own), lambda: other)
    assert [(one.name, one.verdict) for one in found] == [("tokenizers alike", OK), ("chat templates alike", verdict)]


def test_an_endpoint_with_a_tokenizer_is_looked_at_with_it(tmp_path: Path) -> None:
    own, other = model(tmp_path / "own"), model(tmp_path / "other", words=4)
    with able() as server:
        settings = {"kind": "openai", "base_url": server.base_url, "model": MODEL, "tokenizer": str(other)}
        named = asked(experiment(own, teacher=settings))
        unnamed = asked(experiment(own, teacher=settings | {"tokenizer": None}))
    assert named["tokenizers alike"].verdict is NO
    assert unnamed["tokenizers alike"].verdict is UNKNOWN


@pytest.mark.parametrize(("channel", "has", "verdict", "prevents"), [
    ("batch", True, OK, False), ("batch", False, NO, True), ("auto", True, OK, False), ("auto", False, NO, False),
])  # fmt: skip
def test_batches_are_listed_where_they_are_wanted(
    tmp_path: Path, channel: str, has: bool, verdict: Verdict, prevents: bool
) -> None:
    with able() as plain, ChaosTeacher() as batching:
        settings = {"kind": "openai", "base_url": (batching if has else plain).base_url, "model": MODEL}
        found = asked(experiment(tmp_path, teacher=settings | {"channel": channel}))
        live = asked(experiment(tmp_path, teacher=settings))
    assert (found["batch API"].verdict, found["batch API"].prevents) == (verdict, prevents)
    assert "batch API" not in live
