"""Benchmarks of speed are run as a person runs them, with a student of random weights: what they print last holds."""

import importlib
import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import tiny_model

from elad.asks import Generation, Prompt
from elad.records import Sampling

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
PROMISED = {"name", "ratio", "target", "met", "runs", "spread"}
WAITING = "--questions 1 --rounds 1 --pool 2 --heldout 1 --latency-ms 1 2".split()
SMALL = ["--questions", "1", "--tokens", "8", "--repeats", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save(tmp_path_factory.mktemp("student"), context=1024)


Ended: TypeAlias = Callable[[str, list[str]], dict[str, Any]]


@pytest.fixture
def ended(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Runs a script, and gives what its last line says."""

    def run(name: str, words: list[str]) -> dict[str, Any]:
        monkeypatch.syspath_prepend(str(FOLDER))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [f"{name}.py", *words, "--model", str(model)])
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        assert not list(tmp_path.iterdir()), "nothing is kept of a student that was not warmed up"
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.mark.parametrize(
    ("name", "words", "further"),
    [
        ("draft", SMALL, {"bare_batch"}),
        ("draft", [*SMALL, "--fixed"], {"bare_batch"}),
        ("probe", SMALL, {"task", "guess", "ratio_alone", "of_drafting", "of_drafting_target"}),
        ("probe", [*SMALL, "--task", "choice", "--no-guess"], {"task", "guess", "ratio_alone", "of_drafting"}),
        ("round", [*SMALL, "--heldout", "1", "--samples", "1"], {"stages", "scoring_share"}),
        ("waiting", WAITING, {"stages", "shares"}),
    ],
)
def test_a_benchmark_ends_with_its_figures(ended: Ended, name: str, words: list[str], further: set[str]) -> None:
    told = ended(name, words)
    assert told.keys() >= PROMISED | further
    assert told["name"] == name
    assert told["spread"][0] <= told["ratio"] <= told["spread"][1]


class Hearing:
    """Says what guess it heard."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, until: Any = None) -> list[Generation]:
        return [Generation(text=prompt.guess, finished=until is None, tokens=1) for prompt in prompts]


def test_without_guesses_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    student = importlib.import_module("probe").Unguided(Hearing())
    prompts = [Prompt(messages=(), guess=guess) for guess in ("7.", "")]
    assert [one.text for one in student.generate(prompts, Sampling())] == ["", ""]
    assert not student.generate(prompts, Sampling(), lambda place, text: True)[0].finished
