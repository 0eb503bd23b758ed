"""The configuration: what it takes, what it refuses and in which words, and what makes two the same."""

import sys
from math import inf, isinf, isnan, nan
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from elad.errors import ConfigError
from elad.experiment import Experiment
from elad.kinds import build, describe, kinds

BASE: dict[str, Any] = {
    "data": {"pool": "p.jsonl", "heldout": "h.jsonl"},
    "task": "numeric",
    "student": {"engine": "fake"},
    "teacher": {"kind": "reference"},
}
METHOD = """
from dataclasses import dataclass

@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    at_most: int = 5
    needs_scores = False

    def __call__(self, candidates, allowance, rng):
        return []
"""


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"task": 5}, r"task: expected a kind or a mapping of keys, got 5"),
        ({"teacher": None}, r"teacher: expected a kind .*None"),
        ({"selector": None}, r"selector: expected a kind .*None"),
        ({"objective": [1]}, r"objective: expected a kind .*\[1\]"),
        ({"uncertainty": dict}, r"uncertainty: expected a kind .*dict"),
        *(({"name": name}, r"name: must be a plain name") for name in ("", ".x", "../../x", "/x", "a\\b", "a\0b")),
        ({"roundz": 1}, r"roundz: unknown key; did you mean 'rounds'\?"),
        ({"rounds": {"cuont": 2}}, r"rounds\.cuont: unknown key; did you mean 'count'\?"),
        ({"rounds": {"count": "many"}}, r"rounds\.count: .*integer.*'many'"),
        ({"rounds": {"count": 0}}, r"rounds\.count: .*greater than or equal to 1"),
        ({"training": {"epoch": 2}}, r"training\.epoch: unknown key; did you mean 'epochs'\?"),
        ({"budget": {"mony": 3}}, r"budget\.mony: unknown key; did you mean 'money'\?"),
        ({"student": {"engine": "fkae"}}, r"student\.engine: unknown kind 'fkae'; did you mean 'fake'\?"),
        ({"student": {"skill": 1}}, r"student\.engine: missing"),
        ({"student": {"engine": "fake", "skill": 7}}, r"student\.skill: must lie in 0\.\.1"),
        ({"teacher": {"kind": "openai", "modell": "x"}}, r"teacher\.modell: unknown key.*'model'"),
        ({"teacher": {"kind": "nowhere.at:All"}}, r"teacher\.kind: 'nowhere\.at:All' cannot be imported"),
        ({"reviser": {"kind": "first_error", "judge": "direkt"}}, r"reviser\.judge: .*'direct'"),
        ({"reviser": {"kind": "first_error", "turns": 0}}, r"reviser\.turns: must be at least 1, not 0"),
        ({"data": {"pool": "p"}}, r"data\.heldout: Field required"),
        ({"data": {"pool": "p", "heldout": []}}, r"data\.heldout: .*at least 1"),
        ({"data": {"pool": [{"path": "p"}], "heldout": "h"}}, r"data\.pool"),
        ({"budget": {"money": -1}}, r"budget\.money: must be 0 or more"),
        ({"budget": {"money": float("nan")}}, r"budget\.money: must be 0 or more"),
        ({"training": {"batch_size": 6}}, r"training\.batch_size: must be a multiple of .*, not 6 of 4"),
        ({"drafting": {"temperature": inf}}, r"drafting\.temperature: .*finite"),
        ({"drafting": {"temperature": nan}}, r"drafting\.temperature: "),
        ({"teacher": {"kind": "json:loads"}}, r"teacher\.kind: 'json:loads' is not a dataclass"),
        ({"teacher": {"kind": "openai", "model": "x", "base_url": "http://bob:pw@h/v1"}}, r"holds a user, password"),
    ],
)
def test_what_cannot_be_used_is_named(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Experiment.of(BASE | wrong)


PAIRED: dict[str, Any] = {"objective": {"kind": "dpo"}, "training": {"warm_start": True}}
GUIDE: dict[str, Any] = {"student": {"engine": "fake"}}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"objective": "forward_kl"}, r"objective: 'forward_kl' learns from another model's .*guide\.student"),
        ({"objective": {"kind": "weighted", "of": {"sft": 1, "jsd": 1}}}, r"objective: 'weighted' learns from another"),
        ({"guide": GUIDE}, r"guide: is used by no one: the objective 'sft' does not look at it"),
        ({"guide": {"studnet": {}}, "objective": "jsd"}, r"guide\.studnet"),
        ({"guide": GUIDE | {"samples": -1}, "objective": "jsd"}, r"guide\.samples: .*greater than or equal to 0"),
        (
            {"objective": "dpo"},
            r"objective: 'dpo' learns from pairs, and warm-up rows are none.*warm_start: true",
        ),
        (PAIRED | {"feed": "on_policy"}, r"feed: makes rows anew, and the objective 'dpo' learns from those"),
        ({"feed": {"kind": "on_policy", "share": 0}}, r"feed\.share: must be above 0 and at most 1, not 0"),
    ],
)
def test_an_objective_is_told_what_it_needs_and_nothing_else(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Experiment.of(BASE | {"data": BASE["data"] | {"warmup": "w.jsonl"}} | wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"objective": "forward_kl", "guide": GUIDE, "feed": "on_policy"},
        {"objective": {"kind": "weighted", "of": {"sft": 1.0, "dac_kl": {"learned": True}}}, "guide": GUIDE},
        {"objective": "sft", "guide": GUIDE | {"samples": 3}},
        {"objective": "dpo"},
        PAIRED | {"data": BASE["data"] | {"warmup": "w.jsonl"}},
    ],
)
def test_what_it_is_told_is_written_down_and_read_again(right: dict[str, Any]) -> None:
    one = Experiment.of(BASE | right)
    assert Experiment.of(one.resolved()) == one
    assert Experiment.of(one.resolved()).identity() == one.identity()


@pytest.mark.parametrize(
    ("section", "key", "values"),
    [
        ("training", "epochs", (0, -1, nan, inf)),
        ("training", "learning_rate", (0, -1, nan, inf)),
        ("training", "batch_size", (0, -4)),
        ("training", "micro_batch_size", (0, -4)),
        ("training", "max_length", (0,)),
        ("training", "warmup_ratio", (-0.1, 1, nan)),
        ("training", "validation_share", (-0.1, 1, 5, nan)),
        ("training", "patience", (-2,)),
        ("reviser", "votes", (0,)),
        ("reviser", "max_tokens", (0, -1)),
        ("reviser=rewrite", "max_tokens", (0,)),
        ("reviser=answer_only", "max_tokens", (0,)),
        ("student=transformers", "batch_size", (0,)),
        ("student=transformers", "lora.rank", (0, -1)),
        ("student=transformers", "lora.alpha", (0,)),
        ("student=transformers", "lora.dropout", (-0.1, 1, nan)),
        ("teacher=llamacpp", "timeout_seconds", (0, nan)),
    ],
)
def test_a_setting_out_of_its_range_is_named(section: str, key: str, values: tuple[float, ...]) -> None:
    section, _, kind = section.partition("=")
    tag = "engine" if section == "student" else "kind"
    model = {"model": "x"} if section == "teacher" else {}
    one = Experiment.of(BASE | ({section: {tag: kind, **model}} if kind else {}))
    for value in values:
        with pytest.raises(ConfigError, match=rf"{section}\.{key.replace('.', '[.]')}: must be .*, not {value}"):
            one.but([f"{section}.{key}={'.nan' if isnan(value) else '.inf' if isinf(value) else value}"])


def test_resolved_makes_the_same_experiment_again() -> None:
    one = Experiment.of(BASE | {"reviser": {"kind": "first_error", "continue": "student"}})
    again = Experiment.of(one.resolved())
    assert again == one
    assert again.resolved() == one.resolved()
    assert one.resolved()["reviser"]["continue"] == "student"


@pytest.mark.parametrize(
    "room", ["selection", "stopping", "revision", "teachers", "uncertainty", "tasks", "training.objectives"]
)
def test_every_kind_is_listed_by_its_file(room: str) -> None:
    found = kinds(f"elad.{room}")
    assert found
    folder = Path(__file__).parents[2] / "src" / "elad" / room.replace(".", "/")
    assert all((folder / f"{name}.py").is_file() for name in found)


def test_a_class_of_ones_own_is_a_kind() -> None:
    top = build("elad.selection", {"kind": "elad.selection.top:Top"}, "selector")
    assert describe(top) == {"kind": "top"}


def test_a_class_of_a_methods_file_is_told_with_its_file_and_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method's file is no kind of any room: its last name alone would find nothing, or another's class."""
    module = ModuleType("elad.methods.top")
    exec(METHOD, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    told = {"kind": "elad.methods.top:Longest", "at_most": 3}
    selector = build("elad.selection", told, "selector")
    assert type(selector) is module.Longest
    assert describe(selector) == told
    one = Experiment.of(BASE | {"selector": told})
    assert Experiment.of(one.resolved()) == one


def test_a_file_names_itself_in_its_errors_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(BASE | {"sede": 1}))
    with pytest.raises(ConfigError, match=rf"{path}: sede: unknown key; did you mean 'seed'\?"):
        Experiment.load(path)
    path.write_text(yaml.safe_dump(BASE))
    assert Experiment.load(path).base == tmp_path


def test_every_path_in_a_file_is_relative_to_it_and_written_down_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    for name in ("model", "nli"):
        (tmp_path / "conf" / name).mkdir()
    for name in ("model.gguf", "key"):
        (tmp_path / "conf" / name).touch()
    raw = BASE | {
        "student": {"engine": "transformers", "model": "model"},
        "teacher": {"kind": "openai", "model": "key", "api_key_file": "../conf/key", "tokenizer": "./model.gguf"},
        "uncertainty": {"kind": "elad", "inter": "entailment", "nli": {"model": "nli"}},
    }
    path = tmp_path / "conf" / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    one: Any = Experiment.load(path)
    assert Path(one.student.model) == path.parent / "model"
    assert Path(one.teacher.tokenizer) == path.parent / "model.gguf"
    assert Path(one.teacher.api_key_file).samefile(path.parent / "key")
    assert Path(one.uncertainty.nli.model) == path.parent / "nli"
    assert one.teacher.model == "key"  # a name at the endpoint, whatever lies here
    assert one.but(["seed=1"]).student == one.student
    assert one.identity() == Experiment.of(raw).identity()
    assert one.resolved()["teacher"]["api_key_file"] == "../conf/key"
    local: Any = one.but(teacher={"kind": "llamacpp", "model": "model.gguf"})
    assert Path(local.teacher.model) == path.parent / "model.gguf"


def test_what_does_not_lie_beside_the_file_is_left_as_it_is(tmp_path: Path) -> None:
    for name in ("smollm2-135m", "a/b", str(tmp_path)):
        one: Any = Experiment.of(BASE | {"student": {"engine": "transformers", "model": name}}, base=tmp_path)
        assert one.student.model == one.resolved()["student"]["model"] == name


@pytest.mark.parametrize(
    ("text", "told"), [("a: [", "not YAML"), ("- 1", "expected a mapping"), ("", "expected a mapping")]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        Experiment.load(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        Experiment.load(tmp_path / "none.yaml")


def test_overrides_reach_every_section() -> None:
    one = Experiment.of(BASE).but(["rounds.count=7", "student.skill=0.9", "reviser.judge=direct", "seed=3"])
    assert (one.rounds.count, one.seed) == (7, 3)
    assert one.resolved()["student"]["skill"] == 0.9
    assert one.resolved()["reviser"]["judge"] == "direct"


@pytest.mark.parametrize("wrong", ["rounds", "=3", "seed.x=3", "seed=[", "rounds.cuont=3"])
def test_an_override_that_cannot_be_used_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        Experiment.of(BASE).but([wrong])


def test_caps_and_the_number_of_rounds_are_not_part_of_the_identity() -> None:
    one = Experiment.of(BASE)
    same = one.but(["rounds.count=9", "budget.money=3", "name=other"])
    other = one.but(["rounds.questions=9"])
    assert one.identity() == same.identity()
    assert one.identity() != other.identity()
