"""`elad push`: a trained student as a folder that others load, with a card that says no more than is known."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from hub_kit import fake_hub
from huggingface_hub import ModelCard
from loop_kit import experiment, problems
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner, Result

from elad.cli import app
from elad.errors import InputError, RunFolderError
from elad.evaluation.trained import trained
from elad.experiment import Data
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.records import Problem, Round, from_json
from elad.report.release import Wanted, release

pytestmark = pytest.mark.slow
HOSTILE = "MIT | <script>alert(1)</script>\n# `owned` \u202e"


def licensed(problem: Problem) -> Problem:
    """The same question, from a row that tells of a licence."""
    return Problem(
        id=problem.id,
        question=problem.question,
        answer=problem.answer,
        rationale=problem.rationale,
        metadata={"license": HOSTILE},
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("models") / "tiny", context=1024)


def small(model: Path, *overrides: str, **sections: Any) -> Any:
    """Two rounds of a real student, as small as they can be."""
    given: dict[str, Any] = {
        "data": Data(
            pool=tuple(map(licensed, problems(12, 1, "p"))), heldout=problems(6, 2, "h"), warmup=problems(2, 3, "w")
        ),
        "student": {"engine": "transformers", "model": str(model), "dtype": "float32", "lora": {"rank": 2, "alpha": 4}},
        "uncertainty": "entropy",
        "drafting": {"max_tokens": 8},
        "training": {"epochs": 3, "batch_size": 2, "micro_batch_size": 2, "learning_rate": 0.02},
        "rounds": {"count": 2, "questions": 3},
    }
    return experiment(*overrides, **(given | sections))


@pytest.fixture(scope="module")
def done(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    run(small(model), folder)
    return folder


def wanted(which: str = "last", *, adapter: bool = False, gguf: bool = False) -> Wanted:
    return Wanted(which=which, adapter=adapter, gguf=gguf)


def rounds(folder: Path) -> list[Round]:
    with Ledger(folder, write=False) as ledger:
        return [from_json(Round, event.payload) for event in ledger.events(Kind.ROUND)]


def logits(model: Any, folder: Path) -> torch.Tensor:
    """What a model makes of a line, read by the tokenizer of a folder."""
    ids = AutoTokenizer.from_pretrained(folder)("19 + 74 = 93.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(ids).logits


def card_of(folder: Path) -> Any:
    """The card of a release, read by the hub's library."""
    return ModelCard.load(folder / "README.md")


def texts(folder: Path) -> str:
    """All that can be read in a folder, but for the vocabulary."""
    kept = [path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".md", ".jinja")]
    return "".join(path.read_text(encoding="utf-8") for path in kept if path.name != "tokenizer.json")


def test_merged_weights_are_those_that_were_measured(done: Path, tmp_path: Path) -> None:
    made = release(done, tmp_path / "out", wanted())
    assert {path.name for path in made.folder.iterdir()} == {*made.files}
    assert {Path(name).suffix for name in made.files} == {".safetensors", ".json", ".md", ".jinja"}
    measured = trained(done).load()
    loaded = AutoModelForCausalLM.from_pretrained(made.folder)
    assert loaded.dtype is torch.float32
    assert logits(loaded, made.folder).equal(logits(measured.model, made.folder))
    base = AutoModelForCausalLM.from_pretrained(trained(done).settings.model)
    assert not logits(loaded, made.folder).equal(logits(base, made.folder))
    assert made.accuracy == rounds(done)[-1].accuracy


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # by peft
def test_adapters_and_their_base_are_the_merged_weights(done: Path, model: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    made = release(done, tmp_path / "out", wanted(adapter=True))
    told = json.loads((made.folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert told["base_model_name_or_path"] == "tiny"
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), made.folder)
    whole = trained(done).load().model
    torch.testing.assert_close(logits(loaded, made.folder), logits(whole, made.folder))
    assert card_of(made.folder).data.library_name == "peft"


@pytest.mark.parametrize("adapter", [False, True])
def test_nothing_tells_of_this_machine(done: Path, model: Path, tmp_path: Path, adapter: bool) -> None:
    made = release(done, tmp_path / "out", wanted(adapter=adapter))
    said = texts(made.folder)
    assert str(model.parent) not in said
    assert str(done.parent) not in said
    assert str(tmp_path) not in said


def test_the_card_tells_the_ledger_and_no_more(done: Path, tmp_path: Path) -> None:
    card = card_of(release(done, tmp_path / "out", wanted()).folder)
    last = rounds(done)[-1]
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", round(last.accuracy, 4))
    assert result.metric_args["questions"] == 6
    assert result.metric_args["interval_95"] == [round(bound, 4) for bound in last.intervals["accuracy"]]
    assert "license" not in card.data.to_dict()
    assert card.data.base_model is None
    rows = [line for line in card.text.splitlines() if re.match(r"\| \d", line)]
    assert rows == [
        f"| {turn.round}{' (this one)' if turn == last else ''} | {3 * turn.round} | 0 + 0 | 0.0000 | "
        f"{turn.accuracy:.1%} | {turn.intervals['accuracy'][0]:.1%} to {turn.intervals['accuracy'][1]:.1%} |"
        for turn in rounds(done)
    ]
    for told in ("licence: not known", "not stated", "One run with one seed (0)", "No arm that picks at random"):
        assert told in card.text
    for question in problems(12, 1, "p"):
        assert question.question not in card.text


def test_what_others_wrote_is_shown_and_does_nothing(done: Path, tmp_path: Path) -> None:
    card = card_of(release(done, tmp_path / "out", wanted()).folder)
    lines = [line for line in card.text.splitlines() if "alert" in line]
    assert lines == [
        "- `questions given in Python` (questions to learn from): "
        "`MIT | <script>alert(1)</script> # 'owned'` (6 of 6 rows bought)"
    ]
    assert "\u202e" not in card.text


def test_the_best_round_is_taken_only_where_asked_for_and_says_so(done: Path, tmp_path: Path) -> None:
    best = max(rounds(done), key=lambda turn: turn.accuracy)
    assert trained(done).round == rounds(done)[-1]
    assert trained(done, "best").round == best
    assert trained(done, "1").round.round == 1
    flattering = "chosen of 3 because its held-out accuracy is the highest"
    assert flattering in texts(release(done, tmp_path / "best", wanted("best")).folder)
    assert flattering not in texts(release(done, tmp_path / "last", wanted()).folder)
    assert "The run went on to round 2" in texts(release(done, tmp_path / "one", wanted("1")).folder)
    for unknown in ("3", "-1", "bets"):
        with pytest.raises(InputError, match="--round"):
            trained(done, unknown)


def test_a_release_is_kept_with_what_somebody_wrote_into_its_card(done: Path) -> None:
    made = release(done, None, wanted())
    assert (made.folder, made.kept) == (done / "release" / "round-2", False)
    card = made.folder / "README.md"
    card.write_text(card.read_text(encoding="utf-8") + "mine\n", encoding="utf-8")
    (made.folder / "notes.txt").write_text("not for others")
    again = release(done, None, wanted())
    assert again.kept
    assert again.files == made.files
    assert card.read_text(encoding="utf-8").endswith("mine\n")
    with pytest.raises(InputError, match="something else"):
        release(done, made.folder, wanted("1"))
    with (made.folder / "model.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(RunFolderError, match=r"model\.safetensors"):
        release(done, None, wanted())


def test_a_folder_of_something_else_is_left_alone(done: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        release(done, tmp_path, wanted())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_weights_that_were_not_measured_are_refused(model: Path, tmp_path: Path) -> None:
    run(small(model, "rounds.count=1"), tmp_path / "run")
    found = trained(tmp_path / "run")
    whole = (found.checkpoint / "adapter_model.safetensors").read_bytes()
    (found.checkpoint / "adapter_model.safetensors").write_bytes(whole[:-4] + b"\x00\x00\x00\x3f")
    with pytest.raises(RunFolderError, match="round 1"):
        release(tmp_path / "run", tmp_path / "out", wanted())
    assert not (tmp_path / "out").exists()


def test_a_student_that_goes_on_from_the_last_one_has_no_adapters(model: Path, tmp_path: Path) -> None:
    run(small(model, "training.warm_start=true"), tmp_path / "run")
    with pytest.raises(InputError, match="merged"):
        release(tmp_path / "run", tmp_path / "out", wanted(adapter=True))
    made = release(tmp_path / "run", tmp_path / "out", wanted())
    loaded = AutoModelForCausalLM.from_pretrained(made.folder)
    assert logits(loaded, made.folder).equal(logits(trained(tmp_path / "run").load().model, made.folder))


def test_what_has_no_weights_is_refused(model: Path, tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path / "fake")
    with pytest.raises(InputError, match="'fake', keeps no weights"):
        release(tmp_path / "fake", None, wanted())
    data = Data(pool=problems(4, 1, "p"), heldout=problems(4, 2, "h"))
    run(small(model, "budget.calls=0", "rounds.count=1", data=data), tmp_path / "nothing")
    with pytest.raises(RunFolderError, match="nothing was learnt"):
        release(tmp_path / "nothing", None, wanted())
    with pytest.raises(RunFolderError, match="not a run folder"):
        release(tmp_path, None, wanted())


CONVERTER = """#!{python}
import os, sys
assert sys.argv[1] == "--outfile", sys.argv
assert not any("TOKEN" in name for name in os.environ)
assert os.path.isfile(os.path.join(sys.argv[-1], "model.safetensors"))
{does}
"""


@pytest.mark.parametrize(
    ("does", "told"),
    [("open(sys.argv[2], 'w').write('GGUF')", None), ("sys.exit('cannot <b>convert</b>')", "cannot <b>convert</b>")],
)
def test_gguf_is_made_where_the_tool_is_at_hand(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, told: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(InputError, match=r"convert_hf_to_gguf\.py on the PATH"):
        release(done, tmp_path / "out", wanted(gguf=True))
    tool = tmp_path / "bin" / "convert_hf_to_gguf.py"
    tool.parent.mkdir()
    tool.write_text(CONVERTER.format(python=sys.executable, does=does))
    tool.chmod(0o755)
    if told:
        with pytest.raises(InputError, match=told):
            release(done, tmp_path / "out", wanted(gguf=True))
        assert not (tmp_path / "out").exists()
        return
    made = release(done, tmp_path / "out", wanted(gguf=True))
    assert "mine-round-2.gguf" in made.files
    assert "`mine-round-2.gguf` is the same model for llama.cpp" in texts(made.folder)
    with pytest.raises(InputError, match="merged"):
        release(done, tmp_path / "other", wanted(gguf=True, adapter=True))


@pytest.fixture
def push(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, with a hub at an address and a token, or without one."""

    def call(*words: str, hub: str = "http://127.0.0.1:9", token: str | None = None) -> Result:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        return CliRunner().invoke(app, ["push", *words])

    return call


def test_an_upload_has_what_belongs_to_the_release_and_the_token_is_nowhere(
    done: Path, tmp_path: Path, push: Callable[..., Result]
) -> None:
    target = tmp_path / "out"
    with fake_hub() as hub:
        local = push(str(done), "--out", str(target), hub=hub.address, token="hf_secret")
        assert (local.exit_code, hub.tokens) == (0, set()), local.output
        (target / "notes.txt").write_text("not for others")
        words = (str(done), "--out", str(target), "--json", "--repo", "me/mine")
        sent = push(*words, hub=hub.address, token="hf_secret")
    assert sent.exit_code == 0, sent.output
    told = json.loads(sent.stdout)
    assert (told["kept"], told["repo"]) == (True, f"{hub.address}/me/mine")
    assert hub.created == [{"name": "mine", "organization": "me", "visibility": "private"}]
    assert hub.files == {name: (target / name).read_bytes() for name in told["files"]}
    assert "Bearer hf_secret" in hub.tokens
    for said in (local.output, sent.output, texts(target)):
        assert "hf_secret" not in said


def test_a_hub_that_refuses_is_told_of_without_the_token(
    done: Path, tmp_path: Path, push: Callable[..., Result]
) -> None:
    with fake_hub(refuses=True) as hub:
        words = (str(done), "--out", str(tmp_path / "out"), "--repo", "me/mine", "--public")
        sent = push(*words, hub=hub.address, token="hf_secret")
    assert isinstance(sent.exception, InputError)
    assert "--repo me/mine: not uploaded" in str(sent.exception)
    assert "hf_secret" not in str(sent.exception) + sent.output
    assert (tmp_path / "out" / "README.md").is_file()


@pytest.mark.parametrize(
    ("words", "token", "told"),
    [
        (("--repo", "me/mine"), None, "set HF_TOKEN"),
        (("--repo", "me/mine"), " ", "set HF_TOKEN"),
        (("--repo", "../etc"), "hf_secret", "--repo ../etc"),
        (("--round", "seven"), None, "expected `last`, `best` or one of 0 to 2"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    done: Path, tmp_path: Path, push: Callable[..., Result], words: tuple[str, ...], token: str | None, told: str
) -> None:
    sent = push(str(done), "--out", str(tmp_path / "out"), *words, token=token)
    assert isinstance(sent.exception, InputError)
    assert told in str(sent.exception)
    assert "hf_secret" not in str(sent.exception)
    assert not (tmp_path / "out").exists()
