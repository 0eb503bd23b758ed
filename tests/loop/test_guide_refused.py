"""A guide that cannot be one is refused before anything is asked, and a run keeps the one that it began with."""

from pathlib import Path
from typing import Any

import pytest
import tiny_model
from guide_kit import GUIDE, MENTOR, MENTOR_SEED, guided
from loop_kit import experiment, history
from transformers import AutoTokenizer

from elad.errors import ConfigError, RunFolderError, StudentError
from elad.loop import run
from elad.students.fake import FakeStudent

SOFT = {"kind": "soft"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("model"))


def engine(model: Path) -> dict[str, Any]:
    return {"engine": "transformers", "model": str(model), "dtype": "float32"}


def refused(tmp_path: Path, error: type[Exception], told: str, **sections: Any) -> None:
    with pytest.raises(error, match=told):
        run(guided(**sections), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_engine_that_shows_nothing_is_no_guide_for_soft_labels(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path, ConfigError, r"guide\.student: 'fake' does not show its predictions", objective=SOFT)
    served = {"engine": "vllm", "model": str(folder), "url": "http://127.0.0.1:9"}
    told = r"guide\.student: 'vllm' does not show its predictions; take `engine: transformers`"
    refused(tmp_path, ConfigError, told, objective=SOFT, student=engine(folder), guide={"student": served})


def test_a_student_without_tokens_has_none_to_compare(folder: Path, tmp_path: Path) -> None:
    guide = {"student": engine(folder)}
    refused(tmp_path, StudentError, "the student's engine has no tokenizer", objective=SOFT, guide=guide)


def test_other_tokens_are_refused_and_it_is_said_in_what_they_differ(folder: Path, tmp_path: Path) -> None:
    other = tiny_model.save(tmp_path / "other")
    with_word = AutoTokenizer.from_pretrained(other)
    with_word.add_tokens(["<new>"])
    with_word.save_pretrained(other)
    sections = {"objective": SOFT, "student": engine(folder), "drafting": {"max_tokens": 24}}
    told = r"1 of \d+ and \d+ entries of their vocabularies differ"
    refused(tmp_path, StudentError, told, **sections, guide={"student": engine(other)})


def test_another_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tiny_model.save(tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.chat_template = f"<|system|>{tiny_model.TEMPLATE}"
    tokenizer.save_pretrained(other)
    sections = {"objective": SOFT, "student": engine(folder), "drafting": {"max_tokens": 24}}
    refused(tmp_path, StudentError, "its chat template", **sections, guide={"student": engine(other)})


def test_explanations_alone_may_come_from_a_guide_of_other_tokens(folder: Path, tmp_path: Path) -> None:
    """They are texts."""
    guide = {"student": engine(folder), "samples": 1}
    rounds = run(guided("rounds.count=1", "rounds.questions=2", "drafting.max_tokens=24", guide=guide), tmp_path)
    assert len(rounds) == 2


def test_a_guide_without_room_for_a_question_is_refused(tmp_path: Path) -> None:
    narrow = {"student": engine(tiny_model.save(tmp_path / "narrow", context=100)), "samples": 1}
    told = r"drafting\.max_tokens: 160 leaves no room for a question in the guide's context of 100 tokens"
    refused(tmp_path, ConfigError, told, guide=narrow)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"objective": SOFT}, r"objective: 'soft' learns from another model's predictions; say which: guide\.student"),
        ({"guide": {"student": MENTOR}}, r"guide: is used by no one: the objective 'sft' does not look at it"),
        ({"guide": {"samples": 1}}, r"guide\.student: Field required"),
        ({"guide": GUIDE | {"samples": -1}}, r"guide\.samples: .*greater than or equal to 0"),
        ({"guide": GUIDE | {"temperature": 0}}, r"guide\.temperature: .*greater than 0"),
        ({"guide": GUIDE | {"sample": 1}}, r"guide\.sample: unknown key; did you mean 'samples'\?"),
        (
            {"guide": GUIDE | {"student": {"engine": "fkae"}}},
            r"^experiment: guide\.student\.engine: unknown kind",
        ),
        ({"guide": GUIDE | {"student": MENTOR | {"skill": 7}}}, r"^experiment: guide\.student\.skill: must lie in 0"),
        ({"guide": GUIDE | {"training": {"epochs": -1}}}, r"^experiment: guide\.training\.epochs: must be above 0"),
        (
            {"guide": GUIDE | {"training": {"epoch": 1}}},
            r"guide\.training\.epoch: unknown key; .*'epochs'",
        ),
        ({"guide": GUIDE | {"training": {"warm_start": True}}}, r"guide\.training\.warm_start: .* leave it out"),
    ],
)
def test_what_a_guide_may_not_be_is_named(sections: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        experiment(**sections)


def test_a_path_of_a_guide_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "mentor").mkdir()
    raw = guided().resolved() | {"guide": {"student": {"engine": "transformers", "model": "mentor"}, "samples": 1}}
    raw["data"] = {"pool": "p.jsonl", "heldout": "h.jsonl"}
    one: Any = type(guided()).of(raw, base=tmp_path)
    assert Path(one.guide.student.model) == tmp_path / "mentor"
    assert one.resolved()["guide"]["student"]["model"] == "mentor"
    assert one.but(["seed=1"]).guide == one.guide


def test_a_run_does_not_go_on_with_another_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(guided("rounds.count=1"), tmp_path)
    before = history(tmp_path)
    with pytest.raises(RunFolderError, match=r"guide\.samples: 3 -> 4"):
        run(guided("guide.samples=4"), tmp_path)
    with pytest.raises(RunFolderError, match=r"guide: 'fake-\w+' -> None"):
        run(guided(guide=None), tmp_path)
    came: Any = FakeStudent.id.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(
        FakeStudent, "id", property(lambda self: "other weights" if self.settings.seed == MENTOR_SEED else came(self))
    )
    with pytest.raises(RunFolderError, match=r"guide: 'fake-\w+' -> 'other weights'"):
        run(guided("rounds.count=2"), tmp_path)
    assert history(tmp_path) == before


def test_the_numbers_of_a_guide_are_compared_by_what_they_are(tmp_path: Path) -> None:
    one = guided(guide={"student": engine(tmp_path), "samples": 1})
    assert one.identity() == one.but(["guide.student.dtype=auto"]).identity()
    assert one.identity() != one.but(["guide.student.lora.rank=4"]).identity()
